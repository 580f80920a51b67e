//go:build real

package kerberos

import (
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

// rig is the example with a key distribution centre, at http://localhost:PORT.
type rig struct {
	t    *testing.T
	kdc  *parts.KDC
	gate *parts.GatewayProcess
	url  string
}

func start(t *testing.T) *rig {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("carlapw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, kdc: parts.Kerberos(t)}
	port := parts.Port(t)
	r.url = fmt.Sprintf("http://localhost:%d", port)
	r.gate = parts.GatewayAt(t, port, caddyfile, "SITE="+r.url, "APP="+parts.Echo(t), "KEYTAB="+r.kdc.Keytab, "CARLA_HASH="+string(hash))
	return r
}

// desk is a browser of somebody's computer; an empty cache is that of a stranger.
func (r *rig) desk(cache string, flags ...chromedp.ExecAllocatorOption) *parts.Window {
	r.t.Helper()
	env := []string{"KRB5_CONFIG=" + r.kdc.Config, "KRB5CCNAME=" + cache}
	w := parts.Chromium(r.t, append(flags, chromedp.Env(env...), chromedp.Flag("disable-auth-negotiate-cname-lookup", true))...)
	// With a new profile Chromium has no GSSAPI library when it is challenged first: it
	// loads one then, for the next challenge.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "<p>no</p>")
	}))
	defer other.Close()
	w.Run("the first challenge", chromedp.Navigate(strings.Replace(other.URL, "127.0.0.1", "localhost", 1)), chromedp.WaitVisible("p"))
	return w
}

var managed = chromedp.Flag("auth-server-allowlist", "localhost")

// TestTicket: a computer of the domain, whose administrator listed the host, signs its
// user in: no page stands between them and the application.
func TestTicket(t *testing.T) {
	r := start(t)
	w := r.desk(r.kdc.Ticket("anna", "annapw"), managed)
	var text, at string
	w.Run("a ticket", chromedp.Navigate(r.url+"/report?q=1#part"), chromedp.WaitVisible("pre"), chromedp.Text("pre", &text), chromedp.Location(&at))
	for _, want := range []string{"GET /report?q=1", "X-Key: desk:anna@EXAMPLE.TEST", "X-Method: kerberos", "Sm_user: anna"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "Negotiate") || at != r.url+"/report?q=1#part" {
		t.Errorf("at %s the application gets\n%s", at, text)
	}
}

// TestNoTicket: nobody signed in to the computer, or the host is on nobody's list. The
// person comes to the other provider without doing anything, and no window asks for a
// password.
func TestNoTicket(t *testing.T) {
	r := start(t)
	none := "FILE:" + filepath.Join(t.TempDir(), "none")
	for name, w := range map[string]*parts.Window{
		"nobody signed in": r.desk(none, managed),
		"not listed":       r.desk(r.kdc.Ticket("anna", "annapw")),
	} {
		var text string
		w.Run(name, chromedp.Navigate(r.url+"/report"), chromedp.WaitVisible(`input[name="password"]`),
			chromedp.SendKeys(`input[name="username"]`, "carla"), chromedp.SendKeys(`input[name="password"]`, "carlapw"),
			chromedp.Click(`button[type="submit"]`), chromedp.WaitVisible("pre"), chromedp.Text("pre", &text))
		if !strings.Contains(text, "X-Key: corp:carla") || !strings.Contains(text, "GET /report") {
			t.Errorf("%s: the application gets\n%s", name, text)
		}
	}
}

// TestATicketThatIsRefused: a ticket that is good and yet not wanted leads to the other
// provider, and says so; so does one for keys that were replaced.
func TestATicketThatIsRefused(t *testing.T) {
	r := start(t)
	cache := r.kdc.Ticket("anna", "annapw")
	if err := r.gate.Reload(strings.Replace(caddyfile, "keytab {$KEYTAB}", "keytab {$KEYTAB}\n\t\t\tkerberos_realm PARTNER.EXAMPLE", 1)); err != nil {
		t.Fatal(err)
	}
	w := r.desk(cache, managed)
	var alert string
	w.Run("another realm", chromedp.Navigate(r.url+"/"), chromedp.WaitVisible(`input[name="password"]`), chromedp.Text(`[role="alert"]`, &alert))
	if !strings.Contains(alert, "was not accepted") {
		t.Errorf("the page says %q", alert)
	}
	if err := r.gate.Reload(caddyfile); err != nil {
		t.Fatal(err)
	}
	// The service gets a new key; the keytab, read while the gateway runs, has both.
	r.kdc.Admin("ktadd -k " + r.kdc.Keytab + " HTTP/localhost")
	for what, cache := range map[string]string{"the old key": cache, "the new key": r.kdc.Ticket("bert", "bertpw")} {
		var text string
		r.desk(cache, managed).Run(what, chromedp.Navigate(r.url+"/"), chromedp.WaitVisible("pre"), chromedp.Text("pre", &text))
		if !strings.Contains(text, "@EXAMPLE.TEST") {
			t.Errorf("%s: the application gets\n%s", what, text)
		}
	}
}

// TestCurl: another program that speaks SPNEGO, and one ticket cache after the other.
func TestCurl(t *testing.T) {
	r := start(t)
	curl := parts.Need(t, "curl")
	get := func(cache string, more ...string) string {
		jar := filepath.Join(t.TempDir(), "jar")
		args := append([]string{"-sS", "-L", "-b", jar, "-c", jar, "-H", "Accept: text/html", "-w", "\n%{http_code}"}, more...)
		cmd := exec.Command(curl, append(args, r.url+"/x")...)
		cmd.Env = append(os.Environ(), "KRB5_CONFIG="+r.kdc.Config, "KRB5CCNAME="+cache)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		return string(out)
	}
	bert := r.kdc.Ticket("bert", "bertpw")
	if out := get(bert, "--negotiate", "-u", ":"); !strings.Contains(out, "X-Key: desk:bert@EXAMPLE.TEST") || !strings.HasSuffix(out, "\n200") {
		t.Errorf("with a ticket:\n%s", out)
	}
	for what, out := range map[string]string{"no SPNEGO": get(bert), "no ticket": get("FILE:"+t.TempDir()+"/none", "--negotiate", "-u", ":")} {
		if !strings.HasSuffix(out, "\n401") || strings.Contains(out, "X-Key") || !strings.Contains(out, "<form") {
			t.Errorf("%s:\n%s", what, out)
		}
	}
}
