//go:build real

package radicale

import (
	_ "embed"
	"net/http"
	"regexp"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

const whoAmI = `<?xml version="1.0"?><propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>`

var principal = regexp.MustCompile(`<current-user-principal>\s*<href>(.*?)</href>\s*</current-user-principal>`)

func TestRadicaleKnowsWhoSignedIn(t *testing.T) {
	t.Parallel()
	app, port := parts.Radicale(t), parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g := parts.GatewayAt(t, port, caddyfile, "APP="+app.Addr, "ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret)

	alice := parts.Browser(t)
	propfind := func(b *parts.TestBrowser, h http.Header) *parts.TestPage {
		t.Helper()
		return b.Send(browser.Request{
			Method: "PROPFIND", URL: g.URL + "/", Body: whoAmI, Script: true,
			From: &browser.Page{URL: g.URL + "/"}, Header: h,
		})
	}
	propfind(alice, nil).Want(http.StatusUnauthorized, "login_required")

	alice.Open(g.URL+"/").Want(http.StatusOK, "username").Fill("username", "alice", "password", "alicepw")
	for _, tc := range []struct {
		name string
		lie  http.Header
	}{
		{"signed in", nil},
		{"forged", http.Header{"X-Remote-User": {"mallory"}}},
		{"forged twice", http.Header{"X-Remote-User": {"mallory", "eve"}}},
		{"forged with underscores", http.Header{"X_Remote_User": {"mallory"}}},
		{"forged with both", http.Header{"x_remote-user": {"mallory"}, "X-REMOTE_USER": {"mallory"}}},
		{"named in Connection", http.Header{"Connection": {"X-Remote-User"}}},
	} {
		p := propfind(alice, tc.lie).Want(http.StatusMultiStatus)
		if got := principal.FindStringSubmatch(p.Body); got == nil || got[1] != "/alice/" {
			t.Errorf("%s: Radicale believes it is %q:\n%s", tc.name, got, p.Body)
		}
		propfind(parts.Browser(t), tc.lie).Want(http.StatusUnauthorized, "login_required")
	}
	if logs := app.Output(); regexp.MustCompile("mallory|eve").MatchString(logs) {
		t.Errorf("Radicale heard of the forger:\n%s", logs)
	}
}
