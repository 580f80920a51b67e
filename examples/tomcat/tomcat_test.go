//go:build real

package tomcat

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

//go:embed webapp
var webapp embed.FS

func files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(webapp, "webapp", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := webapp.ReadFile(path)
		out[strings.TrimPrefix(path, "webapp/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTomcatReadsSMUserAndKeepsItsSessionInTheAddress(t *testing.T) {
	t.Parallel()
	app, port := parts.Tomcat(t, files(t)), parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g := parts.GatewayAt(t, port, caddyfile, "APP="+app.Addr, "ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret)

	b := parts.Browser(t)
	first := b.Open(g.URL+"/index.jsp").Want(http.StatusOK, "username").
		Fill("username", "bob", "password", "bobpw").
		Want(http.StatusOK, "Payroll of bob", "headers: [bob]", "session is new", ";jsessionid=")
	for _, c := range b.Jar.Cookies(g.URL + "/") {
		if strings.EqualFold(c.Name, "JSESSIONID") {
			t.Fatal("the application has a cookie; this test is about one without")
		}
	}
	june := first.Click(";jsessionid=").Want(http.StatusOK, "June of bob", "session from the address: true")

	for _, name := range []string{"SM_USER", "SM-USER", "sm.user"} {
		lie := http.Header{name: {"mallory"}}
		b.Send(browser.Request{URL: g.URL + "/index.jsp", Header: lie}).Want(http.StatusOK, "headers: [bob]").Without("mallory")
	}
	// The same form anywhere else in the path, or other parameters, are tricks (B13).
	for _, trick := range []string{"/public/..;/june.jsp", "/;x/june.jsp", "/june.jsp;x=y", "/a;jsessionid=1/june.jsp"} {
		b.Send(browser.Request{URL: g.URL + trick}).Want(http.StatusBadRequest)
	}
	// A session of the application is worth nothing without one of ours.
	stranger := parts.Browser(t)
	stranger.Open(june.URL).Want(http.StatusOK, "username").Without("June of")
}
