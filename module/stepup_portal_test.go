package module_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// With a portal a step_up is proved there, whatever host asks for it.
func TestB25StepUpOnThePortal(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	sites := strings.Replace(townSites, "require /admin/* `false`", "step_up /safe/* {\n\t\t\twithin 5m\n\t\t}\n\t\tstep_up /sign {\n\t\t\tonce\n\t\t}\n\t\t", 1)
	g := start(t, asked(t, "corp", op, "scopes openid profile")+portalLine+"factor totp\n", sites)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	p := g.open(b, g.on("one", "/safe/x"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil || !strings.HasPrefix(p.URL, g.on("auth", "/")) {
		t.Fatalf("want the page that sets up an app, on the portal, got %d at %s\n%s\nhops %v", p.Status, p.URL, p.Text(), b.Hops)
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	clock.Advance(31 * time.Second)
	g.at(fill(t, p, "code", code(t, secret, clock)), "one", "/safe/x")
	g.at(g.open(b, g.on("two", "/app")), "two", "/app")

	clock.Advance(31 * time.Second)
	g.app.forget()
	p = g.open(b, g.on("one", "/sign"))
	if !p.Has("one-time-code") || !strings.Contains(p.Text(), "one.localhost") {
		t.Fatalf("want the page that shows the request, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	g.at(fill(t, p, "code", code(t, secret, clock)), "one", "/sign")

	clock.Advance(31 * time.Second)
	page := g.open(b, g.on("one", "/open/page"))
	script := func(header ...string) (*browser.Page, string) {
		t.Helper()
		h := http.Header{}
		if len(header) > 0 {
			h.Set("Sallyport-Approval", header[0])
		}
		p := g.send(b, browser.Request{Method: http.MethodPost, URL: g.on("one", "/sign"), Body: "x", Script: true, From: page, Header: h})
		_, rest, _ := strings.Cut(p.Body, `"approval":"`)
		id, _, _ := strings.Cut(rest, `"`)
		return p, id
	}
	_, id := script()
	p = g.open(b, g.on("one", "/.identity/step-up?approval="+id))
	if p = fill(t, p, "code", code(t, secret, clock)); p.URL != g.on("one", "/.identity/approval?id="+id) || !p.Has("Confirmed") {
		t.Fatalf("want the page that says that it is confirmed, got %d at %s\n%s\nhops %v", p.Status, p.URL, p.Text(), b.Hops)
	}
	if p, _ := script(id); p.Status != http.StatusOK {
		t.Fatalf("want it sent, got %d\n%s", p.Status, p.Body)
	}
	if n := g.count("approval_used"); n != 2 {
		t.Fatalf("%d uses in the trail", n)
	}
}
