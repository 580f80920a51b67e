package module_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// The recovery codes can be saved: a form's answer, so that they are in no
// address, no cache and no list of downloads. Saving moves nothing (I28).
func TestI28SavingTheRecoveryCodesMovesNothing(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	b := newBrowser(t)
	mfaUser(op, "pwd", "mfa")
	p := g.open(b, g.url("/a"))
	secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	shown := p.Body
	save := func(pairs ...string) *browser.Page {
		f, err := p.FormWith("download")
		if err != nil {
			t.Fatal(err)
		}
		f.Fields.Set("download", f.Buttons[0].Value)
		for i := 0; i < len(pairs); i += 2 {
			f.Fields.Set(pairs[i], pairs[i+1])
		}
		q, err := f.Submit()
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	for range 2 {
		q := save()
		if q.Status != http.StatusOK || q.Header.Get("Content-Disposition") != "attachment; filename=recovery-codes.txt" || q.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %d %v\n%s", q.Status, q.Header, q.Text())
		}
		lines := strings.Fields(q.Body)
		if len(lines) != 10 || !strings.Contains(shown, "<li><code>"+lines[9]+"</code>") {
			t.Fatalf("got %q", q.Body)
		}
	}
	for _, other := range [][]string{{"download", "x"}, {"serial", "1"}, {"step", "0"}, {"token", "x"}} {
		if q := save(other...); q.Header.Get("Content-Disposition") != "" || other[0] == "token" && q.Status != http.StatusForbidden {
			t.Errorf("%v: %d %v", other, q.Status, q.Header)
		}
		p = g.open(b, p.URL)
	}
	byScript(t, g, b, p)
	landed(t, fill(t, g.open(b, p.URL)), "/a", "idp:u-alice")
}

// I12: what runs on a page of the application does not read the file.
func byScript(t *testing.T, g *gateway, b *browser.Browser, p *browser.Page) {
	t.Helper()
	f, err := p.FormWith("download")
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("download", "recovery-codes.txt")
	q, err := b.Send(browser.Request{
		Method: http.MethodPost, URL: f.Action, From: p, Script: true, Body: f.Fields.Encode(),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if q.Status != http.StatusForbidden || q.Header.Get("Content-Disposition") != "" {
		t.Errorf("a script: %d %v", q.Status, q.Header)
	}
}
