package module_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// atOnce sends forms at the same moment, each by a browser of its own.
func atOnce(t *testing.T, forms ...*browser.Form) []*browser.Page {
	t.Helper()
	pages := make([]*browser.Page, len(forms))
	var wg sync.WaitGroup
	for i, f := range forms {
		wg.Go(func() {
			p, err := f.Submit()
			if err != nil {
				t.Error(err)
			}
			pages[i] = p
		})
	}
	wg.Wait()
	return pages
}

func form(p *browser.Page, pairs ...string) *browser.Form {
	f := p.Forms()[0]
	for i := 0; i < len(pairs); i += 2 {
		f.Fields.Set(pairs[i], pairs[i+1])
	}
	return f
}

// Two factors that each prove the removal of the other: one stays.
func TestM06TwoRemovalsAtOnceLeaveOne(t *testing.T) {
	h := withFactor(t, factorFlow)
	p := fill(t, press(t, h.account(t, h.b), "factor_add", "totp"), "code", h.code(t))
	second := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	p = fill(t, p, "code", code(t, second, h.clock))
	ids := targets(p, "factor_remove")
	if len(ids) != 3 {
		t.Fatalf("want three factors, got %v", ids)
	}
	other := h.signedIn(t)
	h.account(t, other)
	one := fill(t, press(t, h.account(t, h.b), "factor_remove", ids[0])) // the first, to be proved by the second
	two := fill(t, press(t, h.account(t, other), "factor_remove", ids[2]))
	h.clock.Advance(time.Minute)
	atOnce(t, form(one, "code", code(t, second, h.clock)), form(two, "code", code(t, h.secret, h.clock)))
	m := h.me(t, h.b)
	left := 0
	for _, f := range m.Factors {
		if f["factor"] == "totp" {
			left++
		}
	}
	if left != 1 || len(m.Factors) != 2 {
		t.Fatalf("left: %v", m.Factors)
	}
}

// A form that is sent twice at once, as by a double click, sets up one factor.
func TestI09OneEnrolmentOneFactor(t *testing.T) {
	h := withFactor(t, factorFlow)
	p := fill(t, press(t, h.account(t, h.b), "factor_add", "totp"), "code", h.code(t))
	second := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	c := code(t, second, h.clock)
	twin := newBrowser(t)
	twin.Jar = h.b.Jar.Clone()
	q := h.g.open(twin, p.URL)
	atOnce(t, form(p, "code", c), form(q, "code", c))
	if m := h.me(t, h.b); len(m.Factors) != 3 {
		t.Fatalf("want three factors, got %v", m.Factors)
	}
}

// Two logins that both may set up the first factor: the second has to prove it (I07).
func TestI07OnlyOneIsTheFirst(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	mfaUser(op, "pwd", "mfa")
	one, two := g.open(newBrowser(t), g.url("/a")), g.open(newBrowser(t), g.url("/a"))
	secret := func(p *browser.Page) string {
		return strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	}
	first, second := secret(one), secret(two)
	fill(t, fill(t, one, "code", code(t, first, clock)))
	p := fill(t, two, "code", code(t, second, clock))
	asksForCode(t, "the second", p)
	if p = fill(t, p, "code", code(t, second, clock)); p.Path() == "/a" {
		t.Fatal("a factor that was not kept proves something")
	}
	clock.Advance(time.Minute)
	landed(t, fill(t, p, "code", code(t, first, clock)), "/a", "idp:u-alice")
}
