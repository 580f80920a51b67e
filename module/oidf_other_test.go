package module_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// TestOIDFClient3rdPartyInitLogin is oidcc-client-test-3rd-party-init-login: the provider sends
// the browser to our initiate_login_uri with its iss; that begins a login there. Of
// two providers it is the one named; GET and POST, hint and target as in OIDC Core §4.
func TestOIDFClient3rdPartyInitLogin(t *testing.T) {
	op, other := suiteOP(t), newOP(t)
	g := start(t, asked(t, "other", other)+asked(t, "op", op), whoSite)
	rp := &party{g, t, op, nil}
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		name, lands, hint string
		wish              url.Values
	}{
		{"iss only", "/", "", url.Values{"iss": {op.Issuer}}},
		{"with all", "/app?x=1", "alice@example.com", url.Values{"iss": {op.Issuer}, "login_hint": {"alice@example.com"}, "target_link_uri": {g.url("/app?x=1")}}},
		{"target elsewhere", "/", "", url.Values{"iss": {op.Issuer}, "target_link_uri": {"https://evil.example/"}}},
		{"target like ours", "/", "", url.Values{"iss": {op.Issuer}, "target_link_uri": {g.url("") + ".evil.example/"}}},
		{"target in the gateway", "/", "", url.Values{"iss": {op.Issuer}, "target_link_uri": {g.url("/.identity/logout")}}},
		{"long hint", "/", "", url.Values{"iss": {op.Issuer}, "login_hint": {long}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := len(op.Requests())
			p := rp.open(newBrowser(t), rp.url("/.identity/login?"+tc.wish.Encode()))
			landed(t, p, tc.lands, "op:u-alice")
			// The form comes from the provider's own page: another site.
			sent := rp.raw(http.MethodPost, "/.identity/login", tc.wish.Encode(), "Content-Type", "application/x-www-form-urlencoded",
				"Origin", op.Issuer, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Accept", "text/html")
			if sent.Status != http.StatusSeeOther || len(sent.Header["Set-Cookie"]) != 0 {
				t.Fatalf("POST: %d, cookies %v", sent.Status, sent.Header["Set-Cookie"])
			}
			landed(t, rp.open(newBrowser(t), sent.Header.Get("Location")), tc.lands, "op:u-alice")
			asked := op.Requests()[before:]
			if len(asked) != 2 || asked[0].Get("login_hint") != tc.hint || asked[1].Get("login_hint") != tc.hint {
				t.Errorf("authorization requests: %v", asked)
			}
		})
	}
	for name, wish := range map[string]url.Values{"unknown": {"iss": {op.Issuer + "/"}}, "twice": {"iss": {op.Issuer, other.Issuer}}} {
		if p := rp.open(newBrowser(t), rp.url("/.identity/login?"+wish.Encode())); !p.Has(`value="op"`) || !p.Has(`value="other"`) {
			t.Errorf("%s iss: want the chooser, got %d at %s", name, p.Status, p.URL)
		}
	}
	for name, body := range map[string]string{"no iss": "login_hint=a", "too long": "iss=a&target_link_uri=" + strings.Repeat("x", 20_000)} {
		if p := rp.raw(http.MethodPost, "/.identity/login", body, "Content-Type", "application/x-www-form-urlencoded"); p.Status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, p.Status)
		}
	}
	if other.Counts().Authorize != 0 {
		t.Error("the other provider was asked")
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
