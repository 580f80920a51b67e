package code

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// box keeps what was sent.
type box struct {
	mu   sync.Mutex
	got  []flows.Message
	fail error
}

func (b *box) Send(_ context.Context, m flows.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.got = append(b.got, m)
	return nil
}

func (b *box) sent() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

// code is the one sent last.
func (b *box) code() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got[len(b.got)-1].Secret["code"]
}

type rig struct {
	*box
	factor   flows.Implied
	registry *flowstest.Registry
}

func newRig(t *testing.T, id, text string) *rig {
	t.Helper()
	mod, err := caddy.GetModule("identity.factors." + id)
	if err != nil {
		t.Fatal(err)
	}
	g := mod.New()
	r := &rig{box: new(box), factor: g.(flows.Implied), registry: flowstest.NewRegistry()}
	r.registry.Messengers = map[string]flows.Messenger{"mail": r.box}
	if err = g.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil {
		if err = g.(caddy.Provisioner).Provision(caddy.Context{}); err == nil {
			err = g.(flows.Binder).Bind(r.registry)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func alice() *flows.User {
	return &flows.User{Key: "corp:alice", Name: "alice", Email: "alice@example.com", Attributes: map[string]any{"phone": "+41 (0)79 000-00-01"}}
}

// begin is a challenge of a person who is asked now.
func (r *rig) begin(t *testing.T, u *flows.User, show ...flows.Row) *flows.Challenge {
	t.Helper()
	c := &flows.Challenge{User: u, Records: r.factor.Imply(u), Origin: "https://app.example", Language: "de", Show: show, Now: r.registry.Now()}
	if err := r.factor.Begin(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer gives a code, or the wish for another one, at the time it is.
func (r *rig) answer(t *testing.T, c *flows.Challenge, name, value string) error {
	t.Helper()
	c.Now = r.registry.Now()
	v, err := r.factor.Verify(t.Context(), c, flows.Input{Values: map[string][]string{name: {value}}})
	if err == nil && v.Again != (name == "resend") {
		t.Errorf("%s=%s: again %v", name, value, v.Again)
	}
	return err
}

func bent(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

func TestImplied(t *testing.T) {
	for id, lacks := range map[string]*flows.User{"email": {Key: "corp:bob"}, "sms": {Key: "corp:bob", Email: "bob@example.com"}} {
		t.Run(id, func(t *testing.T) {
			r := newRig(t, id, id+" {\nmessenger mail\n}")
			in := func(s string) flows.Input { return flows.Input{Values: map[string][]string{"code": {s}}} }
			flowstest.TestImplied(t, flowstest.ImpliedCase{
				Factor: r.factor, Has: alice(), Lacks: lacks,
				Right: func(*flows.Challenge) flows.Input { return in(r.code()) },
				Wrong: func(*flows.Challenge) flows.Input { return in(bent(r.code())) },
			})
		})
	}
}

func TestB26Codes(t *testing.T) {
	refused := func(t *testing.T, what string, err error) {
		t.Helper()
		if !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%s: got %v, want ErrCredentials", what, err)
		}
	}
	accepted := func(t *testing.T, what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for name, walk := range map[string]func(*testing.T, *rig){
		"six digits, to the vouched address, in the person's language": func(t *testing.T, r *rig) {
			r.begin(t, alice(), flows.Row{Name: "amount", Value: "950.00"})
			m := r.got[0]
			if len(m.Secret["code"]) != 6 || strings.Trim(m.Secret["code"], "0123456789") != "" || m.To != "alice@example.com" || m.Language != "de" ||
				m.Kind != "code" || m.Values["host"] != "app.example" || m.Values["minutes"] != "5" || m.Rows[0].Value != "950.00" {
				t.Errorf("sent: %+v", m)
			}
		},
		"five minutes": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			r.registry.Forward(goodFor - time.Second)
			late := *c
			refused(t, "a wrong one in time", r.answer(t, c, "code", bent(r.code())))
			r.registry.Forward(time.Second)
			refused(t, "the right one, late", r.answer(t, &late, "code", r.code()))
			if p := r.factor.Draw(&late); p.Submit != "" || !has(p, "code_over") {
				t.Errorf("the page asks on: %+v", p)
			}
		},
		"five tries": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			for range maxTries {
				refused(t, "a wrong one", r.answer(t, c, "code", bent(r.code())))
			}
			refused(t, "the right one behind five wrong ones", r.answer(t, c, "code", r.code()))
			if p := r.factor.Draw(c); p.Submit != "" || !has(p, "code_over") {
				t.Errorf("the page asks on: %+v", p)
			}
		},
		"the fifth try may be right": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			for range maxTries - 1 {
				refused(t, "a wrong one", r.answer(t, c, "code", bent(r.code())))
			}
			accepted(t, "the right one", r.answer(t, c, "code", r.code()))
		},
		"resend after half a minute, and the old one dies": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			old := r.code()
			r.registry.Forward(spacing - time.Second)
			accepted(t, "too early", r.answer(t, c, "resend", "1"))
			if p := r.factor.Draw(c); r.sent() != 1 || p.Problem != flows.ReasonTooManyTries || p.Wait != 1 || p.Submit == "" {
				t.Errorf("%d sent, page %+v", r.sent(), p)
			}
			r.registry.Forward(time.Second)
			accepted(t, "in time", r.answer(t, c, "resend", "1"))
			if p := r.factor.Draw(c); r.sent() != 2 || p.Problem != "" {
				t.Errorf("%d sent, page %+v", r.sent(), p)
			}
			if old != r.code() {
				refused(t, "the old one", r.answer(t, c, "code", old))
			}
			accepted(t, "the new one", r.answer(t, c, "code", r.code()))
		},
		"five of a challenge": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			for range 10 {
				r.registry.Forward(window)
				accepted(t, "again", r.answer(t, c, "resend", "1"))
			}
			if p := r.factor.Draw(c); r.sent() != maxSends || hasChoice(p, "resend") {
				t.Errorf("%d sent, page %+v", r.sent(), p)
			}
		},
		"five to a person that nobody answers": func(t *testing.T, r *rig) {
			for i := range 20 {
				u := alice()
				u.Email = fmt.Sprintf("alice%d@example.com", i)
				r.registry.Forward(spacing)
				r.begin(t, u)
			}
			if r.sent() != inWindow {
				t.Errorf("%d sent", r.sent())
			}
		},
		"five to an address that nobody answers": func(t *testing.T, r *rig) {
			for i := range 20 {
				u := alice()
				u.Key = flows.UserKey(fmt.Sprintf("corp:u%d", i))
				u.Email = []string{"alice@example.com", "Alice@Example.com"}[i%2]
				r.registry.Forward(spacing)
				r.begin(t, u)
			}
			if r.sent() != inWindow {
				t.Errorf("%d sent", r.sent())
			}
		},
		"those that are answered count for the day alone": func(t *testing.T, r *rig) {
			for range inDay + 5 {
				c := r.begin(t, alice())
				if r.factor.Draw(c).Problem == "" {
					accepted(t, "answered", r.answer(t, c, "code", r.code()))
				}
			}
			if r.sent() != inDay {
				t.Errorf("%d sent on one day", r.sent())
			}
			r.registry.Forward(day)
			r.begin(t, alice())
			if r.sent() != inDay+1 {
				t.Error("nothing is sent on the next day")
			}
		},
		"what cannot be sent is said": func(t *testing.T, r *rig) {
			r.fail = errors.New("no such mailbox")
			c := r.begin(t, alice())
			if p := r.factor.Draw(c); p.Problem != flows.ReasonMessageNotSent || p.Submit != "" || !hasChoice(p, "resend") {
				t.Errorf("page %+v", p)
			}
		},
		"the store has no code": func(t *testing.T, r *rig) {
			c := r.begin(t, alice())
			var s state
			if err := c.Kept(&s); err != nil {
				t.Fatal(err)
			}
			b, err := r.registry.VaultOf("codes").Get(t.Context(), "code\x00"+s.ID)
			if err != nil || strings.Contains(string(b), r.code()) || strings.Contains(string(b), s.ID) || strings.Contains(string(c.State), r.code()) {
				t.Errorf("kept: %s, %s, %v", b, c.State, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { walk(t, newRig(t, "email", "email {\nmessenger mail\n}")) })
	}
}

func has(p flows.Page, note string) bool {
	return slices.ContainsFunc(p.Widgets, func(w flows.Widget) bool { n, ok := w.(flows.Note); return ok && n.Code == note })
}

func hasChoice(p flows.Page, name string) bool {
	return slices.ContainsFunc(p.Widgets, func(w flows.Widget) bool { n, ok := w.(flows.Choice); return ok && n.Name == name })
}

// M02: however many tries come at once, no more than five are compared.
func TestM02TriesInParallel(t *testing.T) {
	r := newRig(t, "email", "email {\nmessenger mail\n}")
	c := r.begin(t, alice())
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			one := *c
			if err := r.answer(t, &one, "code", bent(r.code())); !errors.Is(err, flows.ErrCredentials) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := r.answer(t, c, "code", r.code()); !errors.Is(err, flows.ErrCredentials) {
		t.Errorf("the code survived 200 guesses: %v", err)
	}
	right := r.begin(t, &flows.User{Key: "corp:carol", Email: "carol@example.com"})
	var mu sync.Mutex
	won := 0
	for range 20 {
		wg.Go(func() {
			one := *right
			if r.answer(t, &one, "code", r.code()) == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("one code was good %d times", won)
	}
}

// I16: a store that cannot be asked is neither a wrong code nor a right one, and
// nothing is sent that could not be counted.
func TestI16TheStoreIsDown(t *testing.T) {
	r := newRig(t, "email", "email {\nmessenger mail\n}")
	c := r.begin(t, alice())
	r.registry.VaultOf("codes").SetDown(true)
	if err := r.answer(t, c, "code", r.code()); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("judging: %v", err)
	}
	other := &flows.Challenge{User: alice(), Now: c.Now}
	if err := r.factor.Begin(t.Context(), other); !errors.Is(err, flows.ErrUnavailable) || r.sent() != 1 {
		t.Errorf("sending: %v, %d sent", err, r.sent())
	}
}

func TestI06OnlyVouchedAddresses(t *testing.T) {
	for _, tc := range []struct {
		name, id, to string
		user         flows.User
		want         string
	}{
		{"vouched", "email", "", flows.User{Email: "maria@example.com"}, "maria@example.com"},
		{"none", "email", "", flows.User{}, ""},
		{"two in one", "email", "", flows.User{Email: "a@example.com, b@example.com"}, ""},
		{"with a name", "email", "", flows.User{Email: "Maria <maria@example.com>"}, ""},
		{"a line break", "email", "", flows.User{Email: "maria@example.com\r\nBcc: x@example.net"}, ""},
		{"a claim that is not verified", "email", "{user.claims.email}", flows.User{Claims: map[string]any{"email": "m@example.com"}}, ""},
		{"an attribute", "sms", "", flows.User{Attributes: map[string]any{"phone": "+41 (79) 000.00-01"}}, "+41790000001"},
		{"no number", "sms", "", flows.User{Attributes: map[string]any{"phone": "call me"}}, ""},
		{"several", "sms", "", flows.User{Attributes: map[string]any{"phone": []any{"+41790000001", "+41790000002"}}}, ""},
		{"by mail to a gateway", "sms", "{user.phone}@sms.example", flows.User{Attributes: map[string]any{"phone": "0790000001"}}, "0790000001@sms.example"},
		{"typed into a form", "sms", "", flows.User{Attributes: map[string]any{"phone": "+41790000001"}, Derived: []flows.Derived{{Name: "phone"}}}, ""},
		{"looked up", "sms", "", flows.User{Attributes: map[string]any{"phone": "+41790000001"}, Derived: []flows.Derived{{Name: "phone", Directory: "hr"}}}, "+41790000001"},
		{"below what was typed", "sms", "{user.contact.phone}", flows.User{Attributes: map[string]any{"contact": map[string]any{"phone": "+41790000001"}}, Derived: []flows.Derived{{Name: "contact"}}}, ""},
		{"the standard claim, not verified", "sms", "", flows.User{Attributes: map[string]any{"phone": "+41790000001"}, Claims: map[string]any{"phone_number": "+41790000001"}}, ""},
		{"the standard claim, verified", "sms", "", flows.User{Attributes: map[string]any{"phone": "+41790000001"}, Claims: map[string]any{"phone_number": "+41790000001", "phone_number_verified": true}}, "+41790000001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := parseAddress(tc.id, tc.to)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.of(&tc.user); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMasked(t *testing.T) {
	for to, want := range map[string]string{"maria@example.com": "m•••@example.com", "a@example.com": "•••@example.com", "ünal@example.com": "ü•••@example.com"} {
		if got := masked("email", to); got != want {
			t.Errorf("%s: %s", to, got)
		}
	}
	if got := masked("sms", "+41790000001"); got != "•••01" {
		t.Error(got)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for in, want := range map[string]string{
		"email":                                "who brings the codes?",
		"email x":                              "'x' is too much",
		"email {\nfrom x\n}":                   "factor email has no option 'from'; there are: messenger, to",
		"email {\nmessenger\n}":                "messenger takes one argument, but got 0",
		"email {\nmessenger a\nmessenger b\n}": "messenger is there twice",
		"email {\nmessenger a\nto x\n}":        "must hold one {user.<attribute>}",
		"email {\nmessenger a\nto {user.email}{user.name}\n}": "must hold one {user.<attribute>}",
		"email {\nmessenger a\nto {http.request.host}\n}":     "must hold one {user.<attribute>}",
	} {
		if err := (&Email{kind: "email"}).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
	f := &Email{kind: "email", Messenger: "pigeon"}
	if err := f.Names(flowstest.NewRegistry()); err == nil || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("a messenger that is not there: %v", err)
	}
}

// FuzzAddress: whatever an attribute holds, masking never panics, and no address
// reaches two.
func FuzzAddress(f *testing.F) {
	f.Add("maria@example.com")
	f.Add("+41 79 000 00 01")
	f.Add(`"a@b"@example.com`)
	f.Fuzz(func(t *testing.T, v string) {
		u := &flows.User{Email: v, Attributes: map[string]any{"phone": v}}
		for _, kind := range []string{"email", "sms"} {
			a, err := parseAddress(kind, "")
			if err != nil {
				t.Fatal(err)
			}
			if to := a.of(u); to != "" && (masked(kind, to) == to || strings.ContainsAny(to, "\r\n\x00")) {
				t.Errorf("%q becomes %q, shown as %q", v, to, masked(kind, to))
			}
		}
	})
}
