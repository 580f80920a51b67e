package module_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// leaves signs out by RP-Initiated Logout. While the provider ends its session it
// tells us by the back channel, with this logout token; what it was answered is told.
func (rp *party) leaves(b *browser.Browser, token func(sub, sid string) string) (end, told *browser.Page) {
	rp.t.Helper()
	ticket := ticketOf(rp.t, rp.gateway, b)
	last := rp.op.Issued()[len(rp.op.Issued())-1].IDToken
	rp.op.OnEnd(func(q url.Values) {
		// The session here is over before the provider hears of it.
		if p := rp.get("/app", ticket.Name+"="+ticket.Value); p.Status != http.StatusSeeOther {
			rp.t.Errorf("while the provider is told, the session answers %d", p.Status)
		}
		c := claimsOf(rp.t, q.Get("id_token_hint"))
		told = rp.raw(http.MethodPost, "/.identity/backchannel-logout/op", url.Values{
			"logout_token": {token(c["sub"].(string), c["sid"].(string))}, "ignored_parameter": {"what is not understood is ignored"},
		}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	})
	p := rp.leave(b)
	if p.Status != http.StatusSeeOther {
		rp.t.Fatalf("logout answered %d\n%s", p.Status, p.Text())
	}
	end = rp.open(b, p.Header.Get("Location"))
	if len(rp.op.Ended()) == 0 || told == nil {
		rp.t.Fatalf("the provider was not told; landed at %s", end.URL)
	}
	q := rp.op.Ended()[len(rp.op.Ended())-1]
	if q.Get("id_token_hint") != last || q.Get("post_logout_redirect_uri") != rp.url("/.identity/logout") || q.Get("client_id") != rp.op.ClientID || len(q.Get("state")) < 22 {
		rp.t.Errorf("logout request: %v", q)
	}
	return end, told
}

// signedOutAt wants the page that ends a logout, no session, and no login begun by
// it. A return that does not fit is handled all the same.
func (rp *party) signedOutAt(p *browser.Page, b *browser.Browser) {
	rp.t.Helper()
	if p.Status != http.StatusOK || !strings.HasPrefix(p.URL, rp.url("/.identity/logout")) || !p.Has("igned out") || rp.hasTicket(b) {
		rp.t.Errorf("back from the provider: %d at %s, session %v\n%s", p.Status, p.URL, rp.hasTicket(b), p.Text())
	}
	if n := len(rp.op.Requests()); n != rp.count("login") {
		rp.t.Errorf("%d authorization requests for %d logins", n, rp.count("login"))
	}
}

// ended wants the good answer of Back-Channel Logout 1.0 §2.8.
func ended(t *testing.T, p *browser.Page) {
	t.Helper()
	want(t, p, http.StatusOK)
	if p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", p.Header.Get("Cache-Control"))
	}
}

// rpInit plays the three modules of RP-Initiated Logout; they differ in what comes back.
func rpInit(t *testing.T, back func(*oidctest.OP, url.Values), fits func(sent, state string) bool) {
	t.Helper()
	rp := relyingParty(t)
	b := rp.accepts()
	rp.op.SetBehaviour(oidctest.Mode{End: back})
	p, told := rp.leaves(b, func(sub, sid string) string { return rp.op.Logout(sub, sid, "") })
	ended(t, told)
	rp.signedOutAt(p, b)
	sent := rp.op.Ended()[0].Get("state")
	u, err := url.Parse(p.URL)
	if err != nil || !fits(sent, u.Query().Get("state")) {
		t.Errorf("state %q was sent, %q came back", sent, u.Query().Get("state"))
	}
	if n := rp.count("logout"); n != 1 {
		t.Errorf("%d logouts in the trail", n)
	}
	rp.op.SetBehaviour(oidctest.Mode{})
	if landed(t, rp.open(b, rp.url("/app")), "/app", "op:u-alice"); rp.op.Counts().Authorize != 2 {
		t.Error("the provider was not asked again")
	}
}

// TestOIDFClientRpInitLogout is oidcc-client-test-rp-init-logout: end_session is called with
// an id_token_hint of this provider and a registered post_logout_redirect_uri;
// the return is handled.
func TestOIDFClientRpInitLogout(t *testing.T) {
	rpInit(t, nil, func(sent, got string) bool { return got == sent })
}

// TestOIDFClientRpInitLogoutOtherState is oidcc-client-test-rp-init-logout-other-state: another
// state comes back; the return must be handled all the same.
func TestOIDFClientRpInitLogoutOtherState(t *testing.T) {
	rpInit(t, func(_ *oidctest.OP, q url.Values) { q.Set("state", q.Get("state")+"_INVALID") },
		func(sent, got string) bool { return got == sent+"_INVALID" })
}

// TestOIDFClientRpInitLogoutNoState is oidcc-client-test-rp-init-logout-no-state: no state
// comes back; the return must be handled all the same.
func TestOIDFClientRpInitLogoutNoState(t *testing.T) {
	rpInit(t, func(_ *oidctest.OP, q url.Values) { q.Del("state") },
		func(sent, got string) bool { return sent != "" && got == "" })
}

// TestOIDFClientRpBackchannelRpinitlogout is oidcc-client-test-rp-backchannel-rpinitlogout: while
// the provider logs out it sends a logout token: answered 200, and every session
// of that sid is over, also in another browser.
func TestOIDFClientRpBackchannelRpinitlogout(t *testing.T) {
	rp := relyingParty(t)
	elsewhere := rp.cookies(rp.accepts())
	rp.op.SetUser(person("u-bob", "bob"))
	bob := newBrowser(t)
	landed(t, rp.open(bob, rp.url("/app")), "/app", "op:u-bob")
	rp.op.SetUser(person("u-alice", "alice"))
	b := rp.accepts()
	p, told := rp.leaves(b, func(sub, sid string) string {
		return rp.op.LogoutToken(sub, sid, func(_ *oidctest.OP, tok *oidctest.Token) {
			tok.Claims["ignored_claim"] = "what is not understood is ignored"
		})
	})
	ended(t, told)
	rp.signedOutAt(p, b)
	want(t, rp.get("/app", elsewhere), http.StatusSeeOther)
	want(t, rp.get("/app", rp.cookies(bob)), http.StatusOK)
}

// backchannelRejected plays a logout token that must be answered 400 and end nothing.
// The person's own logout is done all the same.
func backchannelRejected(t *testing.T, detail string, change func(*oidctest.OP, *oidctest.Token)) {
	t.Helper()
	rp := relyingParty(t)
	elsewhere := rp.cookies(rp.accepts())
	b := rp.accepts()
	p, told := rp.leaves(b, func(sub, sid string) string { return rp.op.LogoutToken(sub, sid, change) })
	want(t, told, http.StatusBadRequest)
	if told.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", told.Header.Get("Cache-Control"))
	}
	if line := rp.toldInLog(told); !strings.Contains(line, `"reason":"invalid_answer"`) || !strings.Contains(line, detail) || rp.count("denied") != 0 {
		t.Errorf("line %s, want … %s; %d events", line, detail, rp.count("denied"))
	}
	rp.signedOutAt(p, b)
	want(t, rp.get("/app", elsewhere), http.StatusOK)
	// It was the change: a good token for the same session ends it.
	want(t, rp.tell("op", rp.op.Logout("u-alice", "sid-u-alice", "")), http.StatusOK)
	want(t, rp.get("/app", elsewhere), http.StatusSeeOther)
}

// TestOIDFClientRpBackchannelRpinitlogoutAlgNone is oidcc-client-test-rp-backchannel-rpinitlogout-alg-none:
// an unsigned logout token.
func TestOIDFClientRpBackchannelRpinitlogoutAlgNone(t *testing.T) {
	backchannelRejected(t, "signature algorithm", func(_ *oidctest.OP, tok *oidctest.Token) { tok.Header = map[string]any{"alg": "none"} })
}

// TestOIDFClientRpBackchannelRpinitlogoutNoEvent is oidcc-client-test-rp-backchannel-rpinitlogout-no-event:
// a logout token without events.
func TestOIDFClientRpBackchannelRpinitlogoutNoEvent(t *testing.T) {
	backchannelRejected(t, "without the logout event", func(_ *oidctest.OP, tok *oidctest.Token) { delete(tok.Claims, "events") })
}

// TestOIDFClientRpBackchannelRpinitlogoutWithNonce is oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce:
// a logout token with a nonce, as an ID token has.
func TestOIDFClientRpBackchannelRpinitlogoutWithNonce(t *testing.T) {
	backchannelRejected(t, "with a nonce", func(_ *oidctest.OP, tok *oidctest.Token) { tok.Claims["nonce"] = "n" })
}

// TestOIDFClientRpBackchannelRpinitlogoutWrongAlg is oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg:
// a logout token of the provider's own, published ES256 key, where RS256 is
// registered for this client.
func TestOIDFClientRpBackchannelRpinitlogoutWrongAlg(t *testing.T) {
	backchannelRejected(t, "signature algorithm", func(op *oidctest.OP, tok *oidctest.Token) {
		i := slices.IndexFunc(op.Keys(), func(k *oidctest.Key) bool { return k.Alg == "ES256" })
		tok.Key = op.Keys()[i]
		tok.Header["alg"], tok.Header["kid"] = "ES256", tok.Key.ID
	})
}

// TestOIDFClientRpBackchannelRpinitlogoutWrongAud is oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud:
// a logout token for another client.
func TestOIDFClientRpBackchannelRpinitlogoutWrongAud(t *testing.T) {
	backchannelRejected(t, "expected audience", func(_ *oidctest.OP, tok *oidctest.Token) { append1("aud")(tok) })
}

// TestOIDFClientRpBackchannelRpinitlogoutWrongEvent is oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event:
// a logout token that tells of something else.
func TestOIDFClientRpBackchannelRpinitlogoutWrongEvent(t *testing.T) {
	backchannelRejected(t, "without the logout event", func(_ *oidctest.OP, tok *oidctest.Token) {
		tok.Claims["events"] = map[string]any{"http://schemas.openid.net/event/something-else": map[string]any{}}
	})
}

// TestOIDFClientRpBackchannelRpinitlogoutWrongIss is oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss:
// a logout token of another issuer.
func TestOIDFClientRpBackchannelRpinitlogoutWrongIss(t *testing.T) {
	backchannelRejected(t, "different provider", func(_ *oidctest.OP, tok *oidctest.Token) { append1("iss")(tok) })
}
