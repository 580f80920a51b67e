//go:build real

package portal

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

// city is the example on four domains: what the browser is told are the names, and
// everything answers on one port of this machine.
type city struct {
	portal, payroll, wiki, idp string
	port                       int
	dir                        string
}

// front is how the provider's people put theirs on the net.
const front = `
https://idp.test-idp.example:%d {
	reverse_proxy %s
}
`

// found chooses the names and makes the authority of their certificates.
func found(t *testing.T) *city {
	t.Helper()
	parts.Need(t, "chromium")
	port := parts.Port(t)
	site := func(host string) string { return fmt.Sprintf("https://%s:%d", host, port) }
	// Not t.TempDir: a request that was under way may still write its entry.
	dir, err := os.MkdirTemp("", "sallyport-portal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &city{
		portal: site("auth.sally-portal.example"), payroll: site("app1.alpha.example"), wiki: site("app2.beta.example"),
		idp: site("idp.test-idp.example"), port: port, dir: dir,
	}
	parts.Authority(t, dir)
	parts.Names(t, ".example")
	for name, value := range map[string]string{"AUTH_SITE": c.portal, "PAYROLL_SITE": c.payroll, "WIKI_SITE": c.wiki, "APP": parts.Echo(t)} {
		t.Setenv(name, value)
	}
	return c
}

// open runs a config of the gateway, and in front of the provider on this
// address of 127.0.0.1 another site.
func (c *city) open(t *testing.T, text, provider string) {
	t.Helper()
	root := filepath.Join(c.dir, "authority")
	global := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\tstorage file_system %s\n\tlog {\n\t\toutput file %s\n\t}\n\tpki {\n\t\tca local {\n\t\t\troot {\n\t\t\t\tcert %s.crt\n\t\t\t\tkey %s.key\n\t\t\t}\n\t\t}\n\t}\n",
		c.dir, filepath.Join(c.dir, "log"), root, root)
	text = strings.Replace(text, "{\n", global, 1) + fmt.Sprintf(front, c.port, provider)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	// Caddy makes the certificates beside the listener, which is there first.
	for _, site := range []string{c.portal, c.payroll, c.wiki, c.idp} {
		parts.Await(t, "the certificate of "+site, 30*time.Second, func() error {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(site, "https://"), nil)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
}

// start is the example as it stands, with npm's oidc-provider. One process is both the
// gateway and what stands in front of the provider, so the gateway's first question may
// come before its own listener answers: whoever signs in then waits for the second (B19).
func start(t *testing.T) *city {
	t.Helper()
	c := found(t)
	op := parts.OIDCBehind(t, c.idp, "company", c.portal+"/.identity/callback/company")
	for name, value := range map[string]string{"ISSUER": c.idp, "CLIENT_ID": op.Client, "CLIENT_SECRET": op.Secret} {
		t.Setenv(name, value)
	}
	c.open(t, caddyfile, strings.TrimPrefix(op.Local, "http://"))
	return c
}

// trusted tells Chromium where the names are and whose certificates are good: those
// below the authority of this test, and no others.
func (c *city) trusted(t *testing.T) []chromedp.ExecAllocatorOption {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "pki/authorities/local/intermediate.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return []chromedp.ExecAllocatorOption{
		chromedp.Flag("host-resolver-rules", "MAP *.example 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(sum[:])),
	}
}

const (
	username = `input[name="username"]`
	password = `input[name="password"]`
	echo     = `//pre[contains(., "Remote-User: alice")]`
)

// at fails unless the window shows an application to alice, at this very address.
func at(t *testing.T, w *parts.Window, want string) {
	t.Helper()
	w.Run("the application at "+want, parts.See(echo))
	if got := w.Location(); got != want {
		t.Errorf("at %s, want %s", got, want)
	}
}

// TestPortalAcrossDomains: a deep link, one login for two domains, one logout for
// all of them and for the provider, as a browser does it over HTTPS.
func TestPortalAcrossDomains(t *testing.T) {
	c := start(t)
	w := parts.Chromium(t, c.trusted(t)...)
	asked := 0
	w.Run("listening", network.Enable())
	w.Listen(func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok && strings.HasPrefix(e.Request.URL, c.idp+"/sign-in/") {
			asked++
		}
	})

	w.Run("a deep link", chromedp.Navigate(c.payroll+"/app/?x=1#/r/42"), parts.See(password))
	if got := w.Location(); !strings.HasPrefix(got, c.idp+"/") || strings.Contains(got, "#") {
		t.Errorf("asked at %s, want the provider, and no fragment", got)
	}
	w.Screenshot("provider")
	w.Run("signing in", parts.Type(username, "alice"), parts.Type(password, "alicepw"+kb.Enter))
	at(t, w, c.payroll+"/app/?x=1#/r/42")
	w.Screenshot("payroll")
	before := asked
	w.Run("the other application", chromedp.Navigate(c.wiki+"/page#/s/7"))
	at(t, w, c.wiki+"/page#/s/7")
	w.Screenshot("wiki")
	if asked != before {
		t.Errorf("the provider asked alice again")
	}
	c.cookies(t, w)
	first := w.Tab()
	first.Run("the first application in a tab", chromedp.Navigate(c.payroll+"/open"))
	at(t, first, c.payroll+"/open")

	w.Run("logout", parts.Click(`a[href="/.identity/logout"]`), parts.See(`button[name="logout"]`))
	if got := w.Location(); !strings.HasPrefix(got, c.idp+"/") {
		t.Errorf("the provider's logout is at %s", got)
	}
	w.Screenshot("provider-logout")
	w.Run("yes", parts.Click(`button[name="logout"]`), parts.See(`//h1[contains(., "signed out")]`))
	if got := w.Location(); !strings.HasPrefix(got, c.portal+"/.identity/logout") {
		t.Errorf("signed out at %s, want the portal", got)
	}
	w.Screenshot("signed-out")
	var home string
	w.Run("the way back", chromedp.Evaluate(`document.querySelector("main a").href`, &home))
	if home != c.wiki+"/" {
		t.Errorf("the page leads to %s, want the application that was left", home)
	}
	first.Run("the first application again", chromedp.Reload(), parts.See(password))
	if got := first.Location(); !strings.HasPrefix(got, c.idp+"/") {
		t.Errorf("at %s: want the provider to ask for a password again", got)
	}
	first.Screenshot("signed-out-everywhere")

	c.silent(t, "r/42", "code=", "hop=", "id_token_hint")
}

// silent fails the test if the log holds one of these. What stands in front of the
// provider is the provider's, and logs as it likes.
func (c *city) silent(t *testing.T, secrets ...string) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(c.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf(`"host":"%s"`, strings.TrimPrefix(c.idp, "https://"))
	for line := range strings.SplitSeq(string(log), "\n") {
		for _, secret := range secrets {
			if strings.Contains(line, secret) && !strings.Contains(line, front) {
				t.Errorf("%s is in the log: %s", secret, line)
			}
		}
	}
}

// cookies checks what each domain was given: cookies of its own, Lax and host-only.
func (c *city) cookies(t *testing.T, w *parts.Window) {
	t.Helper()
	values := map[string]string{}
	for _, site := range []string{c.portal, c.payroll, c.wiki} {
		var all []*network.Cookie
		w.Run("the cookies", parts.Cookies(&all, site+"/"))
		for _, k := range all {
			if k.SameSite != network.CookieSameSiteLax || !k.HTTPOnly || !k.Secure || strings.HasPrefix(k.Domain, ".") {
				t.Errorf("%s: cookie %+v", site, k)
			}
			if strings.HasPrefix(k.Name, "__Host-sallyport") && !strings.Contains(k.Name, ".") {
				values[k.Value] = site
			}
			if strings.Contains(k.Name, ".p") {
				t.Errorf("%s: %s is left", site, k.Name)
			}
		}
	}
	if len(values) != 3 {
		t.Errorf("tickets %v, want one for each host", values)
	}
}
