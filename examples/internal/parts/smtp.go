package parts

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// smtpServerVersion is what .ci/parts.sh installs.
const smtpServerVersion = "3.21.6"

//go:embed smtp-sink.mjs
var smtpSinkScript []byte

// SMTPSink is a mail server (npm smtp-server) that takes mail over STARTTLS from
// the user gateway, beside an SMS gateway. What they took can be read back.
type SMTPSink struct {
	*Process
	// Server is host:port, CA the file of its authority's certificate.
	Server, CA string
	// SMS is the address of the SMS gateway.
	SMS string
	// Password and Token are what the two want.
	Password, Token string
}

// Sunk is a message that was taken.
type Sunk struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	TLS  bool     `json:"tls"`
	User string   `json:"user"`
	Raw  string   `json:"raw"`
	SMS  bool     `json:"sms"`
	// Subject and Text are what a mail program makes of Raw.
	Subject, Text string `json:"-"`
}

// SMTP starts the two.
func SMTP(t testing.TB) *SMTPSink {
	t.Helper()
	node := Need(t, "node")
	modules := filepath.Dir(filepath.Dir(filepath.Dir(Need(t, "smtp-server"))))
	dir := filepath.Join(modules, "run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script, err := os.CreateTemp(dir, "smtp-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(script.Name()) })
	if _, err := script.Write(smtpSinkScript); err != nil {
		t.Fatal(err)
	}
	if err := script.Close(); err != nil {
		t.Fatal(err)
	}
	ca, cert, key := Certificate(t, "127.0.0.1")
	smtp, web := Port(t), Port(t)
	s := &SMTPSink{Server: Addr(smtp), CA: ca, SMS: "http://" + Addr(web) + "/sms", Password: "a mail password", Token: "an-sms-token"}
	cmd := exec.Command(node, script.Name())
	_, smtpPort, _ := strings.Cut(s.Server, ":")
	_, webPort, _ := strings.Cut(Addr(web), ":")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NODE_NO_WARNINGS=1",
		"SMTP=" + smtpPort, "HTTP=" + webPort, "CERT=" + cert, "KEY=" + key, "PASSWORD=" + s.Password, "TOKEN=" + s.Token,
	}
	s.Process = Start(t, "smtp-sink", cmd)
	s.AwaitTCP(s.Server, 30*time.Second)
	s.AwaitHTTP(s.SMS, 30*time.Second)
	return s
}

// Await answers the n-th message that match accepts, from 1, when it is there.
func (s *SMTPSink) Await(t testing.TB, n int, match func(Sunk) bool) (found Sunk) {
	t.Helper()
	Await(t, "a message", 20*time.Second, func() error {
		res, err := client.Get(s.SMS)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		var all []Sunk
		if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
			return err
		}
		for i := range all {
			if err := all[i].read(); err != nil {
				return err
			}
		}
		all = slices.DeleteFunc(all, func(m Sunk) bool { return !match(m) })
		if len(all) < n {
			return errors.New("it has not come yet")
		}
		found = all[n-1]
		return nil
	})
	return found
}

func (m *Sunk) read() error {
	if m.SMS {
		m.Text = m.Raw
		return nil
	}
	letter, err := mail.ReadMessage(strings.NewReader(m.Raw))
	if err != nil {
		return err
	}
	m.Subject = letter.Header.Get("Subject")
	text, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
	m.Text = strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}
