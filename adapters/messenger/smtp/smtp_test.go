package smtp

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/messenger/smtp/smtptest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func parse(text string) (*Messenger, error) {
	m := new(Messenger)
	return m, m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func messenger(t *testing.T, text string) *Messenger {
	t.Helper()
	m, err := parse(text)
	if err == nil {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		t.Cleanup(cancel)
		err = m.Provision(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// words are a block that reaches a server, with more of them.
func words(t *testing.T, s *smtptest.Server, more ...string) string {
	t.Setenv("SMTP_PASSWORD", smtptest.Password)
	return "smtp {\nserver " + s.Addr + "\nfrom \"ACME <noreply@example.com>\"\ntimeout 5s\n" + strings.Join(more, "\n") + "\n}"
}

const auth = "auth " + smtptest.User + " {env.SMTP_PASSWORD}"

func letter() flows.Message {
	return flows.Message{
		ID: "m1", Kind: "code", To: "maria@example.com", Language: "de", Subject: "Ihr Code für app", Text: "830417 ist Ihr Code.\n.\nEnde – 100 %",
		Values: map[string]string{"host": "app"}, Secret: map[string]string{"code": "830417"}, Rows: []flows.Row{{Name: "Betrag", Value: "950.00"}},
	}
}

func TestMessenger(t *testing.T) {
	s := smtptest.New(t, false)
	m := messenger(t, words(t, s, auth, "ca "+s.CA))
	flowstest.TestMessenger(t, flowstest.MessengerCase{
		Guest: m, To: "maria@example.com",
		Malformed: []string{"maria", "maria@example.com, mallory@example.net", "Maria <maria@example.com>", "maria@example.com>\r\nRCPT TO:<mallory@example.net"},
		Got: func() (got []string) {
			for _, l := range s.Letters() {
				got = append(got, l.Raw)
			}
			return got
		},
		Refuse: func() {
			s.Refuse(func(stage, arg string) string {
				if stage == "data" {
					return "554 5.7.1 spam: " + arg
				}
				return ""
			})
		},
		Break: func() { s.Refuse(func(string, string) string { return "421 4.3.2 shutting down" }) },
	})
}

func TestWhatArrives(t *testing.T) {
	for _, tc := range []struct {
		name  string
		first bool
		more  []string
		tls   bool
		user  string
	}{
		{"STARTTLS and AUTH", false, []string{auth, "ca {CA}"}, true, smtptest.User},
		{"TLS from the first byte", true, []string{auth, "implicit_tls", "ca {CA}"}, true, smtptest.User},
		{"a server on this machine", false, nil, false, ""},
		{"the same with a password", false, []string{auth}, false, smtptest.User},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := smtptest.New(t, tc.first)
			if !tc.tls {
				s.Plain()
			}
			if err := messenger(t, strings.ReplaceAll(words(t, s, tc.more...), "{CA}", s.CA)).Send(t.Context(), letter()); err != nil {
				t.Fatal(err)
			}
			if len(s.Letters()) != 1 {
				t.Fatalf("%d letters", len(s.Letters()))
			}
			l := s.Letters()[0]
			if l.TLS != tc.tls || l.User != tc.user || l.From != "noreply@example.com" || l.To != "maria@example.com" {
				t.Errorf("it came as %v", l)
			}
			if strings.TrimRight(l.Text, "\n") != letter().Text || l.Header.Get("Subject") != "=?UTF-8?q?Ihr_Code_f=C3=BCr_app?=" || l.Header.Get("From") != `"ACME" <noreply@example.com>` ||
				l.Header.Get("Message-Id") != "<m1@example.com>" || l.Header.Get("Auto-Submitted") != "auto-generated" || l.Header.Get("Content-Language") != "de" {
				t.Errorf("it says\n%s", l.Raw)
			}
		})
	}
}

// Off this machine nothing is sent without TLS unless the operator said so, and
// never to who cannot prove to be the server.
func TestTLSIsRequired(t *testing.T) {
	s := smtptest.New(t, false)
	other := smtptest.New(t, false)
	for _, tc := range []struct {
		name, ca string
		plain    bool
		want     string
	}{
		{"foreign", other.CA, false, "certificate"},
		{"no STARTTLS", s.CA, true, "does not support STARTTLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := messenger(t, words(t, s, auth, "ca "+tc.ca))
			if tc.plain {
				s.Plain()
			}
			if err := m.Send(t.Context(), letter()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error about %q", err, tc.want)
			}
		})
	}
	if len(s.Letters()) > 0 {
		t.Errorf("sent all the same: %v", s.Letters())
	}
	for host, want := range map[string]bool{"mail.example.com": true, "10.0.0.7": true, "127.0.0.1": false, "localhost": false} {
		m := messenger(t, "smtp {\nserver "+host+"\nfrom a@example.com\n}")
		if (m.tls != nil) != want || m.port != 587 {
			t.Errorf("%s: TLS %v, port %d", host, m.tls != nil, m.port)
		}
	}
	if m := messenger(t, "smtp {\nserver mail.example.com\nfrom a@example.com\nimplicit_tls\n}"); m.port != 465 || m.tls == nil {
		t.Errorf("implicit: port %d", m.port)
	}
	if m := messenger(t, "smtp {\nserver mail.example.com\nfrom a@example.com\ninsecure_plaintext\n}"); m.tls != nil {
		t.Error("insecure_plaintext does nothing")
	}
}

// What a server says is not ours to repeat: it may say back our password, or the code.
func TestErrorsHoldNothingSecret(t *testing.T) {
	s := smtptest.New(t, false)
	m := messenger(t, words(t, s, auth, "ca "+s.CA))
	for stage, tc := range map[string]struct {
		reply string
		later bool
	}{
		"auth": {"535 5.7.8 %s", false}, "rcpt": {"550 5.1.1 %s", false}, "mail": {"451 4.3.0 %s", true}, "data": {"554 5.7.1 %s", false},
	} {
		s.Refuse(func(at, arg string) string {
			if at != stage {
				return ""
			}
			return fmt.Sprintf(tc.reply, arg)
		})
		err := m.Send(t.Context(), letter())
		if err == nil || errors.Is(err, flows.ErrUnavailable) != tc.later || !strings.Contains(err.Error(), tc.reply[:3]) {
			t.Errorf("%s: got %v", stage, err)
		}
		for _, secret := range []string{"830417", smtptest.Password, "maria", "PLAIN"} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("%s: the error holds %q: %v", stage, secret, err)
			}
		}
	}
}

// A server that says nothing costs its time and no more.
func TestASilentServerIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := messenger(t, "smtp {\nserver "+l.Addr().String()+"\nfrom a@example.com\ntimeout 100ms\n}")
	if err := m.Send(t.Context(), letter()); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestTemplates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("code.txt", "Code for {host}\n\nHello,\n{code}\n")
	write("code.fr.txt", "Votre code\n\n{text}\nACME")
	s := smtptest.New(t, false)
	m := messenger(t, words(t, s, "templates "+dir))
	for _, lang := range []string{"de", "fr"} {
		msg := letter()
		msg.Language = lang
		if err := m.Send(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	de, fr := s.Letters()[0], s.Letters()[1]
	if de.Header.Get("Subject") != "Code for app" || strings.TrimSpace(de.Text) != "Betrag: 950.00\n\nHello,\n830417" {
		t.Errorf("without a language: %s\n%s", de.Header.Get("Subject"), de.Text)
	}
	if !strings.HasPrefix(fr.Text, letter().Text) || !strings.HasSuffix(strings.TrimSpace(fr.Text), "ACME") {
		t.Errorf("French:\n%s", fr.Text)
	}
	write("Code.txt", "x\n\ny")
	if _, err := loadTemplates(dir); err == nil || !strings.Contains(err.Error(), "Code.txt") {
		t.Errorf("a name that is none: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "Code.txt"), filepath.Join(dir, "other.txt")); err != nil {
		t.Fatal(err)
	}
	write("other.txt", "no text")
	if _, err := loadTemplates(dir); err == nil || !strings.Contains(err.Error(), "first line is the subject") {
		t.Errorf("a file without text: %v", err)
	}
	if _, err := loadTemplates(t.TempDir()); err == nil {
		t.Error("an empty folder was taken")
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "smtp x", "takes no argument, but got 'x'"},
		{"unknown word", "smtp {\nhost x\n}", "smtp has no option 'host'; there are: auth, ca, from, implicit_tls, insecure_plaintext, server, templates, timeout"},
		{"no server", "smtp {\nfrom a@b.example\n}", "needs the mail server"},
		{"a url", "smtp {\nserver smtps://mail.example.com\nfrom a@b.example\n}", "no host or host:port"},
		{"port", "smtp {\nserver mail.example.com:x\nfrom a@b.example\n}", "'x' is no port"},
		{"no sender", "smtp {\nserver mail.example.com\n}", "needs the sender"},
		{"sender", "smtp {\nserver mail.example.com\nfrom ACME\n}", "is no address"},
		{"auth", "smtp {\nserver mail.example.com\nfrom a@b.example\nauth gw\n}", "auth takes 2 arguments, but got 1"},
		{"empty password", "smtp {\nserver mail.example.com\nfrom a@b.example\nauth gw \"\"\n}", "auth wants a name and a password"},
		{"both", "smtp {\nserver mail.example.com\nfrom a@b.example\nimplicit_tls\ninsecure_plaintext\n}", "exclude each other"},
		{"ca in the clear", "smtp {\nserver mail.example.com\nfrom a@b.example\nca x.pem\ninsecure_plaintext\n}", "exclude each other"},
		{"timeout", "smtp {\nserver mail.example.com\nfrom a@b.example\ntimeout soon\n}", "no duration"},
		{"twice", "smtp {\nserver a.example\nserver b.example\n}", "server is written twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for what, m := range map[string]*Messenger{
		"auth":      {Server: "mail.example.com", From: "a@b.example", User: "gw", Password: "{file./nowhere/at/all}"},
		"ca":        {Server: "mail.example.com", From: "a@b.example", CA: []string{"/nowhere/at/all"}},
		"templates": {Server: "mail.example.com", From: "a@b.example", Templates: "/nowhere/at/all"},
	} {
		if err := m.Provision(ctx); err == nil || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%s that is not there: %v", what, err)
		}
	}
}

// FuzzAddress: whatever an address holds, it is one recipient or refused.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"maria@example.com", `"a b"@example.com`, "a@b\r\nBcc: c@d", "a@b,c@d", "ü@example.com", "a@[127.0.0.1]", "<a@b>"} {
		f.Add(s, "subject")
	}
	m := &Messenger{from: *mustAddress("noreply@example.com")}
	f.Fuzz(func(t *testing.T, to, subject string) {
		l, err := m.letter(flows.Message{ID: "m", To: to, Subject: subject, Text: "x"})
		if err != nil {
			return
		}
		var b strings.Builder
		if _, err := l.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(b.String(), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			name, _, ok := strings.Cut(line, ":")
			if line[0] != ' ' && (!ok || !strings.Contains(" Date Message-ID MIME-Version Subject From To Auto-Submitted Content-Language Content-Type Content-Transfer-Encoding ", " "+name+" ")) {
				t.Errorf("%q and %q make a line %q", to, subject, line)
			}
		}
		if r, err := l.GetRecipients(); err != nil || len(r) != 1 {
			t.Errorf("%q reaches %v, %v", to, r, err)
		}
	})
}

func mustAddress(s string) *mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}
