package module_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

func init() { caddy.RegisterModule(new(box)) }

// box is a messenger of tests: what it is given stays in letters.
type box struct{}

// letters are what every box got since the last mailbox.
var letters struct {
	sync.Mutex
	got []flows.Message
	// fail answers instead, if there is one.
	fail func(flows.Message) error
}

func (*box) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.messengers.box", New: func() caddy.Module { return new(box) }}
}

func (*box) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }
func (*box) Mails() bool                                   { return true }

func (*box) Send(_ context.Context, m flows.Message) error {
	letters.Lock()
	defer letters.Unlock()
	if letters.fail != nil {
		if err := letters.fail(m); err != nil {
			return err
		}
	}
	letters.got = append(letters.got, m)
	return nil
}

// mailbox empties the boxes; fail may be nil. What it answers waits for n letters of a kind.
func mailbox(t *testing.T, fail func(flows.Message) error) func(kind string, n int) []flows.Message {
	t.Helper()
	set := func(f func(flows.Message) error) {
		letters.Lock()
		defer letters.Unlock()
		letters.got, letters.fail = nil, f
	}
	set(fail)
	t.Cleanup(func() { set(nil) })
	return func(kind string, n int) (got []flows.Message) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			got = nil
			letters.Lock()
			for _, m := range letters.got {
				if m.Kind == kind {
					got = append(got, m)
				}
			}
			letters.Unlock()
			if len(got) >= n {
				return got
			}
		}
		t.Fatalf("waited for %d letters of kind %s, got %d", n, kind, len(got))
		return nil
	}
}

// mailed is alice of the OP, with an address.
func mailed(op *oidctest.OP, amr ...string) {
	op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "email": "alice@example.test", "email_verified": true, "amr": amr})
}

func TestI07ThePersonIsToldOfANewFactor(t *testing.T) {
	op, got := newOP(t), mailbox(t, nil)
	mailed(op, "pwd", "mfa")
	g := start(t, asked(t, "idp", op)+factorFlow+"messenger mail box\npages {\nlanguages de en\n}\n", factorSite)
	p := g.open(newBrowser(t), g.url("/a"))
	secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	fill(t, p, "code", code(t, secret, newClock(t)))
	m := got("factor_added", 1)[0]
	if m.To != "alice@example.test" || m.Language != "de" || m.Subject != "Ihrem Konto bei "+strings.TrimPrefix(g.url(""), "http://")+" wurde ein zweiter Faktor hinzugefügt" ||
		!strings.HasPrefix(m.Text, "Authenticator-App: ") || !strings.Contains(m.Text, time.Now().UTC().Format("2006-01-02")) || strings.Contains(m.Text, "{") || m.ID == "" {
		t.Errorf("alice is told: %+v", m)
	}
}

// Telling fails nothing: the factor is there, and what could not be sent is counted.
func TestNoticesFailNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		email string
		fail  func(int) error
		want  map[string]float64
	}{
		"taken at the third try": {"alice@example.test", func(n int) error {
			if n < 3 {
				return fmt.Errorf("%w: busy", flows.ErrUnavailable)
			}
			return nil
		}, map[string]float64{"failed": 2, "sent": 1}},
		"refused for good": {"alice@example.test", func(int) error { return errors.New("no such mailbox") }, map[string]float64{"failed": 1, "unsent": 1}},
		"away for good":    {"alice@example.test", func(int) error { return flows.ErrUnavailable }, map[string]float64{"failed": 4, "unsent": 1}},
		"a guest's bug":    {"alice@example.test", func(int) error { panic("bug") }, map[string]float64{"failed": 1, "unsent": 1}},
		"no address":       {"", nil, map[string]float64{"no_address": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(module.SetTryPauses(0, 0, 0, 0))
			op, n := newOP(t), 0
			mailbox(t, func(flows.Message) error {
				if n++; tc.fail != nil {
					return tc.fail(n)
				}
				return nil
			})
			mailed(op, "pwd", "mfa")
			if tc.email == "" {
				mfaUser(op, "pwd", "mfa")
			}
			g := withAdmin(t, asked(t, "idp", op)+"factor totp\nflow staff {\nlogin idp\nmfa totp\n}\nmessenger mail box\n", factorSite)
			was := messagesOf(g)
			p := g.open(newBrowser(t), g.url("/a"))
			secret := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
			landed(t, fill(t, p, "code", code(t, secret, newClock(t))), "/a", "idp:u-alice")
			var is map[string]float64
			for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				is = map[string]float64{}
				for outcome, v := range messagesOf(g) {
					if v > was[outcome] {
						is[outcome] = v - was[outcome]
					}
				}
				if maps.Equal(is, tc.want) {
					return
				}
			}
			t.Errorf("counted %v, want %v", is, tc.want)
		})
	}
}

// messagesOf are the messages of messenger mail about added factors, by outcome.
func messagesOf(g *gateway) map[string]float64 {
	out, all := map[string]float64{}, g.scrape()
	for _, o := range []string{"sent", "failed", "unsent", "no_address"} {
		out[o] = all[`sallyport_messages_total{kind="factor_added",messenger="mail",outcome="`+o+`"}`]
	}
	return out
}

// Without a way nobody is told anything, and the operator hears it once.
func TestNobodyToldIsAWarning(t *testing.T) {
	const text = "people are not told"
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	for more, want := range map[string]int{"": 1, "messenger mail box\n": 0, "messenger a box\nmessenger b box\n": 1} {
		if got := len(warnings(g.logged(asked(t, "idp", op)+factorFlow+more, factorSite)(), text)); got != want {
			t.Errorf("%q: %d warnings, want %d", more, got, want)
		}
	}
}
