package module_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// I25: whoever has proved nothing is counted and not written down one by one; the
// id that they are shown leads to a line of the log.
func TestI25StrangersAreCountedNotWritten(t *testing.T) {
	idp, op := newIDP(t, 0), newOP(t)
	global := samlBlock("corp", idp) + asked(t, "entra", op) + "store memory\n"
	g := withAdmin(t, global, whoSite)
	denials := func(reason string) float64 {
		return g.scrape()[fmt.Sprintf(`sallyport_denials_total{reason=%q}`, reason)]
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json"}
	for name, tc := range map[string]struct {
		ask    func() *browser.Page
		reason string
	}{
		"acs":                  {func() *browser.Page { return g.raw(http.MethodPost, acsPath, "SAMLResponse=AAAA", form...) }, "invalid_answer"},
		"acs, too long":        {func() *browser.Page { return g.raw(http.MethodPost, acsPath, strings.Repeat("A", 257<<10), form...) }, "too_large"},
		"slo":                  {func() *browser.Page { return g.raw(http.MethodGet, sloPath+"?SAMLRequest=AAAA", "", form...) }, "invalid_answer"},
		"back channel":         {func() *browser.Page { return g.tell("entra", "x.y.z") }, "invalid_answer"},
		"back channel, nobody": {func() *browser.Page { return g.tell("nobody", "x.y.z") }, "invalid_answer"},
		"front channel": {func() *browser.Page {
			return g.raw(http.MethodGet, framed("entra", "iss", op.Issuer, "sid", "no-such-sid-0123"), "", frame...)
		}, "invalid_answer"},
		"path": {func() *browser.Page { return g.raw(http.MethodGet, "/a//b", "", "Accept", "application/json") }, "bad_path"},
		"callback, nobody": {func() *browser.Page {
			return g.raw(http.MethodGet, "/.identity/callback/nobody?code=a&state=b", "", "Accept", "application/json")
		}, "no_such_page"},
		"form of another site": {func() *browser.Page {
			return g.raw(http.MethodPost, "/.identity/flow", "a=b", append([]string{"Origin", "https://evil.example"}, form...)...)
		}, "cross_site"},
		"begun by a form": {func() *browser.Page { return g.raw(http.MethodPost, "/.identity/login", "a=b", form...) }, "invalid_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			before, written := denials(tc.reason), len(g.events("", 0))
			for range 3 {
				if p := tc.ask(); p.Status < 400 || p.Status > 499 || !regexp.MustCompile(`"id":"[A-Z2-7]{26}"`).MatchString(p.Body) {
					t.Fatalf("%d %s", p.Status, p.Body)
				}
			}
			if n := denials(tc.reason) - before; n != 3 {
				t.Errorf("%v were counted", n)
			}
			if n := len(g.events("", 0)) - written; n != 0 {
				t.Errorf("%d entries in the trail", n)
			}
		})
	}
}

func TestI25StrangersAreInTheLog(t *testing.T) {
	idp := newIDP(t, 0)
	g, read := logged(t, samlBlock("corp", idp), whoSite)
	ids := regexp.MustCompile(`"id":"([A-Z2-7]{26})"`)
	for range 100 {
		p := g.raw(http.MethodPost, acsPath, "SAMLResponse=AAAA", "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/json")
		m := ids.FindStringSubmatch(p.Body)
		if m == nil {
			t.Fatalf("%d %s", p.Status, p.Body)
		}
		until(t, "the log holds "+m[1], func() bool { return strings.Contains(read(), m[1]) })
	}
	warned := 0
	for l := range strings.Lines(read()) {
		if strings.Contains(l, `"message refused"`) && strings.Contains(l, `"level":"warn"`) {
			warned++
		}
	}
	if warned == 0 || warned > 30 {
		t.Errorf("a flood of a hundred made %d lines at level warn", warned)
	}
}

// A reference that is shown can be found, that of a wrong address, too.
func TestEveryReferenceIsInTheLog(t *testing.T) {
	const bound = "bind 127.0.0.1\n"
	g, read := logged(t, people(t), "http://127.0.0.1:{PORT} {\n"+bound+plainSite+"\n}\nhttp://app.example.test:{PORT} {\n"+bound+"protect\nrespond ok\n}")
	b := g.signedIn("/a", "alice", "alicepw")
	ticket := ticketOf(t, g, b)
	ids := regexp.MustCompile(`"id":"([A-Z2-7]{26})"`)
	for name, tc := range map[string]struct {
		path, header, value string
		status              int
		reason              string
	}{
		"wrong address":            {"/.identity/nope", "Host", fmt.Sprintf("127.0.0.1:%d", g.port), http.StatusNotFound, "no_such_page"},
		"wrong address, signed in": {"/.identity/nope", "Cookie", ticket.Name + "=" + ticket.Value, http.StatusNotFound, "no_such_page"},
		"no SAML provider":         {"/.identity/saml/nope/acs", "Host", fmt.Sprintf("127.0.0.1:%d", g.port), http.StatusNotFound, "no_such_page"},
		"login over plain http":    {"/a", "Host", "app.example.test", http.StatusForbidden, "https_required"},
	} {
		t.Run(name, func(t *testing.T) {
			p := g.raw(http.MethodGet, tc.path, "", "Accept", "application/json", tc.header, tc.value)
			m := ids.FindStringSubmatch(p.Body)
			if p.Status != tc.status || !p.Has(tc.reason) || m == nil {
				t.Fatalf("%d %s", p.Status, p.Body)
			}
			until(t, "the log holds "+m[1], func() bool { return strings.Contains(read(), m[1]) })
		})
	}
}
