//go:build real

package icingaweb2

import (
	_ "embed"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestIcingaWeb2IsSignedInByRemoteUser(t *testing.T) {
	t.Parallel()
	app := parts.IcingaWeb2(t)
	g := parts.Gateway(t, caddyfile, "PHP="+app.Addr, "ALICE_HASH="+hash(t, "alicepw"), "BOB_HASH="+hash(t, "bobpw"))

	const adminPage = "/config/general"
	alice := parts.Browser(t)
	alice.Open(g.URL+adminPage).Want(http.StatusOK, "username").
		Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "global_module_path", "alice")

	bob := parts.Browser(t)
	lies := http.Header{"Remote-User": {"alice"}, "REMOTE_USER": {"alice"}, "Http-Remote-User": {"alice"}, "Auth-User": {"alice"}}
	bob.Open(g.URL+"/account").Want(http.StatusOK, "username").
		Fill("username", "bob", "password", "bobpw").Want(http.StatusOK, "bob").Without("alice")
	p := bob.Navigate(browser.Request{URL: g.URL + adminPage, Header: lies})
	if p.Status == http.StatusOK && strings.Contains(p.Body, "global_module_path") {
		t.Error("bob is an administrator by a header")
	}

	stranger := parts.Browser(t)
	p = stranger.Navigate(browser.Request{URL: g.URL + adminPage, Header: lies})
	p.Want(http.StatusOK, "password").Without("global_module_path", "icinga-logo")
	if !strings.Contains(p.URL, "/.identity/") {
		t.Errorf("a stranger with headers got %s", p.URL)
	}
}
