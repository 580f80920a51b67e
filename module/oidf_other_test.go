package module_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// TestOIDFClient3rdPartyInitLogin is oidcc-client-test-3rd-party-init-login: the provider sends
// the browser to our initiate_login_uri with its iss; that begins a login there.
func TestOIDFClient3rdPartyInitLogin(t *testing.T) {
	rp := relyingParty(t)
	b := newBrowser(t)
	p := rp.open(b, rp.url("/.identity/login?"+url.Values{"iss": {rp.op.Issuer}}.Encode()))
	landed(t, p, "/", "op:u-alice")
	if rp.op.Counts().Authorize != 1 {
		t.Errorf("%d authorization requests", rp.op.Counts().Authorize)
	}
}

// TestOIDFClientFormPostError is oidcc-client-test-form-post-error: the provider answers
// prompt=none by a form that posts login_required; an error must be shown.
func TestOIDFClientFormPostError(t *testing.T) {
	rp := relyingParty(t, "prompt none")
	rp.op.SetBehaviour(oidctest.Mode{Serve: func(op *oidctest.OP, at string, w http.ResponseWriter, r *http.Request) bool {
		if at != "authorize" {
			return false
		}
		fmt.Fprintf(w, `<form method="post" action="%s">`, html.EscapeString(r.Form.Get("redirect_uri")))
		for name, value := range map[string]string{
			"state": r.Form.Get("state"), "iss": op.Issuer, "error": "login_required", "error_description": "This is a login_required error response",
		} {
			fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, html.EscapeString(value))
		}
		fmt.Fprint(w, `</form>`)
		return true
	}})
	b := newBrowser(t)
	p := rp.open(b, rp.url("/app"))
	f, err := p.FormWith("error")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = f.Submit(); err != nil {
		t.Fatal(err)
	}
	e := rp.lastDenied("login_denied", 1)
	if p.Status != http.StatusForbidden || e["reason"] != "provider_refused" || !p.Has(e["id"].(string)) || rp.hasTicket(b) {
		t.Errorf("answered %d, event %v\n%s", p.Status, e, p.Text())
	}
	if c := rp.op.Counts(); c.Token != 0 || c.UserInfo != 0 {
		t.Errorf("asked: %+v", c)
	}
}
