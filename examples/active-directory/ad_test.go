//go:build real

package activedirectory

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

// rig is the example with its domain, at http://localhost:PORT.
type rig struct {
	t    *testing.T
	ad   *parts.ActiveDirectory
	gate *parts.GatewayProcess
	url  string
	env  []string
}

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, ad: parts.Domain(t)}
	port := parts.Port(t)
	r.url = fmt.Sprintf("http://localhost:%d", port)
	r.env = []string{
		"SITE=" + r.url, "APP=" + parts.Echo(t), "KEYTAB=" + r.ad.Keytab, "LDAP_URL=" + r.ad.URL, "LDAP_PLAIN=" + r.ad.Plain, "LDAP_CA=" + r.ad.CA,
		"LDAP_BASE=" + r.ad.Base, "LDAP_READER=reader@ad.example.test", "LDAP_PASSWORD=Secret-reader",
	}
	r.gate = parts.GatewayAt(t, port, caddyfile, r.env...)
	return r
}

// login types a name and a password, behind the page that asks for a ticket.
func (r *rig) login(name, password string) *parts.TestPage {
	r.t.Helper()
	b := parts.Browser(r.t)
	defer b.Close()
	p := b.Open(r.url + "/")
	f, err := p.FormWith("token")
	if err != nil {
		r.t.Fatal(err)
	}
	form, err := f.Submit()
	if err != nil {
		r.t.Fatal(err)
	}
	if form, err = form.Fill("username", name, "password", password); err != nil {
		r.t.Fatal(err)
	}
	return b.Page(form)
}

// curl asks for the page with the tickets of a cache.
func (r *rig) curl(cache string) string {
	r.t.Helper()
	jar := filepath.Join(r.t.TempDir(), "jar")
	cmd := exec.Command(parts.Need(r.t, "curl"), "-sS", "-L", "-b", jar, "-c", jar, "-H", "Accept: text/html", "-w", "\n%{http_code}", "--negotiate", "-u", ":", r.url+"/")
	cmd.Env = append(os.Environ(), "KRB5_CONFIG="+r.ad.Config, "KRB5CCNAME="+cache)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("curl: %v\n%s", err, out)
	}
	return string(out)
}

// key is user.key of somebody: the realm and the GUID as people write it.
func (r *rig) key(name string) string {
	b := r.ad.GUID(name)
	for _, part := range [][]byte{b[0:4], b[4:6], b[6:8]} { // [MS-DTYP] 2.3.4.2: three numbers, their lowest byte first
		for i, j := 0, len(part)-1; i < j; i, j = i+1, j-1 {
			part[i], part[j] = part[j], part[i]
		}
	}
	return "corp:" + strings.Join([]string{hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:6]), hex.EncodeToString(b[6:8]), hex.EncodeToString(b[8:10]), hex.EncodeToString(b[10:])}, "-")
}

// TestDomain is one walk after the other over one domain, which takes a while to make.
func TestDomain(t *testing.T) {
	r := start(t)
	anna := r.key("anna")
	in := func(t *testing.T, text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in\n%s", w, text)
			}
		}
	}

	// M2: spellings are one account, by its GUID; groups of groups come along.
	t.Run("spellings", func(t *testing.T) {
		for _, name := range []string{"anna", "ANNA", `ADEX\anna`, `adex\Anna`, "anna@ad.example.test", "Anna@AD.EXAMPLE.TEST"} {
			p := r.login(name, "Secret-anna")
			in(t, p.Body, "X-Key: "+anna, "X-Name: anna", "Admins-App", "Staff", "X-Method: password")
		}
		if p := r.login("anna", "Secret-bert"); p.Status != http.StatusUnauthorized {
			t.Errorf("a wrong password: %d", p.Status)
		}
		if p := r.login("anna", ""); p.Status != http.StatusUnauthorized {
			t.Errorf("an empty password: %d", p.Status)
		}
		p := r.login("bert", "Secret-bert")
		in(t, p.Body, "Staff")
		if strings.Contains(p.Body, "Admins-App") {
			t.Errorf("bert is in\n%s", p.Body)
		}
	})

	// The directory says why to who knew the password, and to nobody else (B27).
	t.Run("accounts", func(t *testing.T) {
		for name, reason := range map[string]string{"ivan": "account_disabled", "olga": "account_expired", "dora": "password_expired"} {
			p := r.login(name, "Secret-"+name)
			if strings.Contains(p.Body, "X-Key") || !strings.Contains(r.gate.Logs(), reason) {
				t.Errorf("%s: %d\n%s", name, p.Status, p.Text())
			}
			if p := r.login(name, "Secret-nobody"); p.Status != http.StatusUnauthorized {
				t.Errorf("%s with a wrong password: %d\n%s", name, p.Status, p.Text())
			}
		}
	})

	// A ticket leads to the same person, with all that the directory knows (I04).
	t.Run("tickets", func(t *testing.T) {
		for what, cache := range map[string]string{
			"by the account": r.ad.Ticket("anna", "Secret-anna"),
			"by the address": r.ad.Ticket("anna@ad.example.test", "Secret-anna", "-E", "-C"), // as Windows asks
		} {
			out := r.curl(cache)
			in(t, out, "X-Key: "+anna, "X-Name: anna", "Admins-App", "Staff", "X-Method: kerberos", "\n200")
			if t.Failed() {
				t.Log(what)
			}
		}
		// A name that the centre did not put into its own words may be somebody else's (CVE-2020-25719).
		if out := r.curl(r.ad.Ticket("anna@ad.example.test", "Secret-anna", "-E")); strings.Contains(out, "X-Key") || !strings.Contains(out, `name="password"`) {
			t.Errorf("an alias:\n%s", out)
		}
		bert := r.ad.Ticket("bert", "Secret-bert")
		in(t, r.curl(bert), "X-Key: "+r.key("bert"))
		r.ad.Modify("bert", map[string][]string{"userAccountControl": {"514"}})
		if out := r.curl(bert); strings.Contains(out, "X-Key") || !strings.HasSuffix(out, "\n403") {
			t.Errorf("a ticket of before the account was disabled:\n%s", out)
		}
	})

	// Passwords go over TLS that the right authority signed, or not at all.
	t.Run("only LDAPS", func(t *testing.T) {
		other, _, _ := parts.Certificate(t, "127.0.0.1")
		for what, text := range map[string]string{
			"another authority": strings.Replace(caddyfile, "{$LDAP_CA}", other, 1),
			"in the clear":      strings.Replace(strings.Replace(caddyfile, "{$LDAP_URL}", "{$LDAP_PLAIN}", 1), "ca {$LDAP_CA}", "insecure_plaintext", 1),
		} {
			if err := r.gate.Reload(text); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if p := r.login("anna", "Secret-anna"); strings.Contains(p.Body, "X-Key") || p.Status == http.StatusUnauthorized {
				t.Errorf("%s: %d\n%s", what, p.Status, p.Text())
			}
		}
		text := strings.Replace(strings.Replace(caddyfile, "{$LDAP_URL}", "{$LDAP_PLAIN}", 1), "nested on", "nested on\n\t\t\tstart_tls", 1)
		if err := r.gate.Reload(text); err != nil {
			t.Fatal(err)
		}
		in(t, r.login("anna", "Secret-anna").Body, "X-Key: "+anna)
	})
}
