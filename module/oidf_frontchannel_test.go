package module_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// framedLogout is a provider whose ID tokens name a sid that nobody guesses, and whose
// logout page has our frontchannel_logout_uri in a frame, with iss and sid
// (frontchannel_logout_session_required), and a link to where it goes on.
func framedLogout(t *testing.T) *party {
	t.Helper()
	op := suiteOP(t)
	const sid = "0b5e4a52-9d4f-4c1e-8a0f-6f1f7f6f3a11"
	var rp *party
	op.SetBehaviour(oidctest.Mode{
		Mint: func(_ *oidctest.OP, tok *oidctest.Token) { tok.Claims["sid"] = sid },
		Serve: func(op *oidctest.OP, at string, w http.ResponseWriter, r *http.Request) bool {
			if at != "end" {
				return false
			}
			frame := rp.url("/.identity/frontchannel-logout/op?") + url.Values{"iss": {op.Issuer}, "sid": {sid}}.Encode()
			fmt.Fprintf(w, `<iframe src="%s"></iframe>`, html.EscapeString(frame))
			if to := r.Form.Get("post_logout_redirect_uri"); to != "" {
				fmt.Fprintf(w, `<a href="%s">on</a>`, html.EscapeString(to+"?"+url.Values{"state": {r.Form.Get("state")}}.Encode()))
			}
			return true
		},
	})
	rp = relyingPartyOf(t, op)
	return rp
}

// loadsFrame loads the frame of a provider's page as a browser does, without Lax
// cookies, and wants an answer that this provider may show in a frame.
func (rp *party) loadsFrame(p *browser.Page) {
	rp.t.Helper()
	_, src, ok := strings.Cut(p.Body, `<iframe src="`)
	src, _, _ = strings.Cut(src, `"`)
	u, err := url.Parse(html.UnescapeString(src))
	if !ok || err != nil {
		rp.t.Fatalf("no frame on %s: %s", p.URL, p.Body)
	}
	f := rp.raw(http.MethodGet, u.RequestURI(), "", "Accept", "text/html", "Referer", rp.op.Issuer+"/",
		"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
	want(rp.t, f, http.StatusOK)
	if f.Header.Get("X-Frame-Options") != "" || !strings.Contains(f.Header.Get("Content-Security-Policy"), "frame-ancestors "+rp.op.Issuer) || f.Header.Get("Cache-Control") != "no-store" {
		rp.t.Errorf("the frame was answered with %v", f.Header)
	}
}

// TestOIDFClientRpFrontchannelRpinitlogout is oidcc-client-test-rp-frontchannel-rpinitlogout: end_session
// is called, the provider's page loads our frontchannel_logout_uri in a frame, and
// the return is handled. Sessions of that sid in other browsers are over, too.
func TestOIDFClientRpFrontchannelRpinitlogout(t *testing.T) {
	rp := framedLogout(t)
	elsewhere := rp.cookies(rp.accepts())
	b := rp.accepts()
	p := rp.leave(b)
	want(t, p, http.StatusSeeOther)
	p = rp.open(b, p.Header.Get("Location"))
	if q := rp.op.Ended(); len(q) != 1 || q[0].Get("id_token_hint") != rp.op.Issued()[1].IDToken {
		t.Fatalf("logout requests: %v", q)
	}
	want(t, rp.get("/app", elsewhere), http.StatusOK)
	rp.loadsFrame(p)
	want(t, rp.get("/app", elsewhere), http.StatusSeeOther)
	p, err := p.Click("/.identity/logout")
	if err != nil {
		t.Fatal(err)
	}
	rp.signedOutAt(p, b)
}

// TestOIDFClientRpFrontchannelOpinitlogout is oidcc-client-test-rp-frontchannel-opinitlogout: the
// person is at the provider's logout page, which we did not send them to; its frame
// ends the session here, though it brings no cookie of ours.
func TestOIDFClientRpFrontchannelOpinitlogout(t *testing.T) {
	rp := framedLogout(t)
	b := rp.accepts()
	p := rp.open(b, rp.op.Issuer+"/end")
	want(t, rp.get("/app", rp.cookies(b)), http.StatusOK)
	rp.loadsFrame(p)
	want(t, rp.get("/app", rp.cookies(b)), http.StatusSeeOther)
	if e := rp.events("session_ended", 1)[0]; e["user"] != "op:u-alice" {
		t.Errorf("event: %v", e)
	}
	// The next visit is a login at the provider.
	if landed(t, rp.open(b, rp.url("/app")), "/app", "op:u-alice"); rp.op.Counts().Authorize != 2 {
		t.Error("the provider was not asked again")
	}
}
