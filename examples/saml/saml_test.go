//go:build real

package saml

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

type federation struct {
	g   *parts.GatewayProcess
	idp *parts.SAMLProvider
}

// start runs the gateway first: the provider reads its metadata, and the gateway
// reads the provider's as soon as that one is there.
func start(t *testing.T) federation {
	t.Helper()
	port := parts.Port(t)
	g := parts.Gateway(t, caddyfile, "APP="+parts.Echo(t), "IDP_METADATA="+parts.SAMLMetadata(port))
	f := federation{g, parts.SimpleSAML(t, port, g.URL+"/.identity/saml/corp/metadata")}
	parts.Await(t, "a login leads to the provider", 20*time.Second, func() error {
		if p := parts.Browser(t).Open(g.URL + "/"); !strings.HasPrefix(p.URL, f.idp.URL+"/") {
			return fmt.Errorf("%d at %s", p.Status, p.URL)
		}
		return nil
	})
	return f
}

// signIn follows a page into the provider's form and back.
func signIn(p *parts.TestPage, who string) *parts.TestPage {
	return p.Want(http.StatusOK, "username").Fill("username", who, "password", who+"pw").Carry()
}

// TestSAMLSignIn: a signed request, an encrypted assertion in a signed answer,
// and the person at the page they asked for.
func TestSAMLSignIn(t *testing.T) {
	t.Parallel()
	f := start(t)
	b := parts.Browser(t)
	p := b.Open(f.g.URL + "/deep/page?x=1&y=a%20b")
	if !strings.HasPrefix(p.URL, f.idp.URL+"/") {
		t.Fatalf("led to %s", p.URL)
	}
	answer := p.Want(http.StatusOK, "username").Fill("username", "alice", "password", "alicepw")
	encrypted(t, answer)
	answer.Carry().Want(http.StatusOK, "GET /deep/page?x=1&amp;y=a%20b", "X-Forwarded-User: alice", "X-User-Key: corp:alice", "X-Name: Alice Liddell", "X-Forwarded-Email: alice@example.test")
	b.Open(f.g.URL+"/admin/x").Want(http.StatusOK, "GET /admin/x")

	bob := parts.Browser(t)
	signIn(bob.Open(f.g.URL+"/"), "bob").Want(http.StatusOK, "X-User-Key: corp:bob")
	bob.Open(f.g.URL+"/admin/x").Want(http.StatusForbidden, "Administrators only.")
}

// encrypted fails the test unless the answer on its way holds an encrypted
// assertion, and no other.
func encrypted(t *testing.T, p *parts.TestPage) {
	t.Helper()
	form, err := p.FormWith("SAMLResponse")
	if err != nil {
		t.Fatal(err)
	}
	message, err := base64.StdEncoding.DecodeString(form.Fields.Get("SAMLResponse"))
	if err != nil || !bytes.Contains(message, []byte("EncryptedAssertion")) || bytes.Contains(message, []byte("alice")) {
		t.Fatalf("the assertion is not encrypted: %v\n%s", err, message)
	}
}

// TestSAMLUnsignedRequest: this provider refuses what the gateway would send
// without `sign_requests`, so the walk above proves the signature.
func TestSAMLUnsignedRequest(t *testing.T) {
	t.Parallel()
	f := start(t)
	sent := parts.Browser(t).Send(browser.Request{Method: http.MethodGet, URL: f.g.URL + "/", Header: http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}}})
	to, err := url.Parse(sent.Header.Get("Location"))
	if err != nil || !to.Query().Has("Signature") {
		t.Fatalf("sent to %s, %v", to, err)
	}
	q := to.Query()
	q.Del("Signature")
	q.Del("SigAlg")
	to.RawQuery = q.Encode()
	p := parts.Browser(t).Open(to.String())
	if p.Has(`name="password"`) || !p.Has("no signature found on message") {
		t.Errorf("an unsigned request got %d:\n%s", p.Status, p.Text())
	}
}

// TestB14SAMLLogoutHere: the session ends here, then at the provider, which asks
// for the password again.
func TestB14SAMLLogoutHere(t *testing.T) {
	t.Parallel()
	f := start(t)
	b := parts.Browser(t)
	signIn(b.Open(f.g.URL+"/"), "alice").Want(http.StatusOK, "X-User-Key: corp:alice")
	out := b.Open(f.g.URL + "/.identity/logout").Carry()
	if out.Status != http.StatusOK || !strings.HasPrefix(out.URL, f.g.URL+"/") || out.Has("X-User-Key") {
		t.Fatalf("logging out ended at %s: %d\n%s", out.URL, out.Status, out.Text())
	}
	b.Open(f.g.URL+"/").Want(http.StatusOK, "password").Without("X-User-Key")
	f.g.AwaitLog(t, "logout")
}

// TestB14SAMLLogoutThere: a logout at the provider ends the session here, and the
// provider is told so.
func TestB14SAMLLogoutThere(t *testing.T) {
	t.Parallel()
	f := start(t)
	b := parts.Browser(t)
	signIn(b.Open(f.g.URL+"/"), "alice").Want(http.StatusOK, "X-User-Key: corp:alice")
	done := b.Open(f.idp.SAMLLogout()).Carry()
	if !strings.HasPrefix(done.URL, f.idp.URL+"/") || done.Status != http.StatusOK || done.Has("only some") {
		t.Errorf("the logout ended at %s: %d\n%s", done.URL, done.Status, done.Text())
	}
	b.Open(f.g.URL+"/").Want(http.StatusOK, "password").Without("X-User-Key")
}
