package flowstest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Password is a bound PasswordVerifier and one person it vouches for.
type Password struct {
	Guest          flows.PasswordVerifier
	Name, Password string
	// Now is the clock it was bound with.
	Now func() time.Time
	// Work counts what a check costs, as hashes or look-ups, since the start. Nil: not judged.
	Work func() int
	// Break makes the provider unreachable, for the rest of the test. Nil: it cannot be.
	Break func()
}

// TestPasswordVerifier reports every broken promise of flows.PasswordVerifier, and of
// flows.Voucher if the guest is one.
func TestPasswordVerifier(t *testing.T, c Password) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Password) Problems(ctx context.Context) []error {
	var l list
	proof, err := c.Guest.VerifyPassword(ctx, c.Name, c.Password)
	if err != nil {
		l.addf("the right password is refused: %v", err)
	}
	c.judge(&l, proof)
	c.refusals(ctx, &l)
	c.copies(ctx, &l)
	c.parallel(ctx, &l)
	if v, ok := c.Guest.(flows.Voucher); ok && err == nil {
		vouched(ctx, &l, v, proof)
	}
	if c.Break != nil {
		c.Break()
		for _, password := range []string{c.Password, c.Password + "x"} {
			_, err := c.Guest.VerifyPassword(ctx, c.Name, password)
			if errors.Is(err, flows.ErrCredentials) || flows.ReasonOf(err) != flows.ReasonProviderDown {
				l.addf("unreachable: got %v, want a refusal with %s: could not ask is not no", err, flows.ReasonProviderDown)
			}
		}
	}
	return l.errs
}

func (c Password) judge(l *list, p flows.Proof) {
	judgeProof(l, p)
	for _, e := range p.Evidence {
		if c.Now != nil && !e.At.Equal(c.Now()) {
			l.addf("evidence is of %v, want the time of the check, %v", e.At, c.Now())
		}
	}
}

// refusals: unknown and wrong are one answer after the same work (B27, M4).
func (c Password) refusals(ctx context.Context, l *list) {
	work := func() int {
		if c.Work == nil {
			return 0
		}
		return c.Work()
	}
	text, cost := "", -1
	for _, try := range []struct{ what, name, password string }{
		{"wrong password", c.Name, c.Password + "x"},
		{"unknown name", "nobody-" + c.Name, c.Password},
		{"prefix of the password", c.Name, c.Password[:len(c.Password)-1]},
		{"empty password", c.Name, ""},
		{"empty password of an unknown name", "nobody-" + c.Name, ""},
		{"empty name", "", c.Password},
		{"huge password", c.Name, strings.Repeat("x", 1<<16)},
		{"name with NUL", c.Name + "\x00", c.Password},
		{"wildcard", "*", c.Password},
	} {
		before := work()
		p, err := c.Guest.VerifyPassword(ctx, try.name, try.password)
		spent := work() - before
		if !errors.Is(err, flows.ErrCredentials) {
			l.addf("%s: got %v, want ErrCredentials", try.what, err)
			continue
		}
		if p.User.Subject != "" || len(p.Evidence) > 0 {
			l.addf("%s: a proof comes with the refusal", try.what)
		}
		if text == "" {
			text, cost = err.Error(), spent
		}
		if err.Error() != text {
			l.addf("%s: says %q, but a wrong password says %q", try.what, err, text)
		}
		if spent != cost {
			l.addf("%s: costs %d, but a wrong password costs %d", try.what, spent, cost)
		}
	}
}

// copies: what one run does to its user must not reach the next.
func (c Password) copies(ctx context.Context, l *list) {
	first, err := c.Guest.VerifyPassword(ctx, c.Name, c.Password)
	if err != nil {
		return
	}
	groups, attributes := slices.Clone(first.User.Groups), maps.Clone(first.User.Attributes)
	for i := range first.User.Groups {
		first.User.Groups[i] = "changed"
	}
	for name := range first.User.Attributes {
		first.User.Attributes[name] = "changed"
	}
	second, err := c.Guest.VerifyPassword(ctx, c.Name, c.Password)
	if err != nil || !slices.Equal(second.User.Groups, groups) || fmt.Sprint(second.User.Attributes) != fmt.Sprint(attributes) {
		l.addf("a change to the user of one proof is seen in the next (%v)", err)
	}
}

func (c Password) parallel(ctx context.Context, l *list) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%2 == 0 {
				if p, err := c.Guest.VerifyPassword(ctx, c.Name, c.Password); err != nil || p.User.Subject == "" {
					l.addf("in parallel, the right password: %v", err)
				}
			} else if _, err := c.Guest.VerifyPassword(ctx, c.Name, c.Password+"x"); !errors.Is(err, flows.ErrCredentials) {
				l.addf("in parallel, a wrong password: %v", err)
			}
		})
	}
	wg.Wait()
}

// Redirector is a bound Redirector and its far side.
type Redirector struct {
	Guest flows.Redirector
	Start flows.Start
	// Answer plays the browser and the far side, where somebody signs in: it
	// follows a Redirect or Post and returns what comes back to the callback URL.
	Answer func(s Seen) (flows.Callback, error)
	// Break makes the provider unreachable for the rest of the test. Nil: it cannot be.
	Break func()
}

// TestRedirector reports every broken promise of flows.Redirector.
func TestRedirector(t *testing.T, c Redirector) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Redirector) Problems(ctx context.Context) []error {
	var l list
	answer, private := c.begin(ctx, &l)
	if private == nil {
		return l.errs
	}
	c.handles(&l, answer)
	if p, err := c.Guest.Finish(ctx, answer, private); err != nil {
		l.addf("a good answer is refused: %v", err)
	} else {
		judgeProof(&l, p)
	}
	c.tampered(ctx, &l)
	c.swapped(ctx, &l)
	if c.Break != nil {
		c.Break()
		if _, _, err := c.Guest.Begin(ctx, c.Start); err != nil && flows.ReasonOf(err) != flows.ReasonProviderDown {
			l.addf("unreachable: Begin answers %v, want a refusal with %s", err, flows.ReasonProviderDown)
		}
	}
	return l.errs
}

// begin starts a login and lets the far side answer; nil private state if that failed.
func (c Redirector) begin(ctx context.Context, l *list) (flows.Callback, []byte) {
	o, private, err := c.Guest.Begin(ctx, c.Start)
	if err != nil {
		l.addf("Begin: %v", err)
		return flows.Callback{}, nil
	}
	s := Look(o)
	if s.Kind != "redirect" && s.Kind != "post" {
		l.addf("Begin answers %q, want a redirect or a post", s.Kind)
		return flows.Callback{}, nil
	}
	if len(private) == 0 {
		l.addf("Begin keeps no private state, so nothing ties the answer to this browser")
		return flows.Callback{}, nil
	}
	answer, err := c.Answer(s)
	if err != nil {
		l.addf("the far side: %v", err)
		return flows.Callback{}, nil
	}
	return answer, private
}

// handles: the state comes back as it was sent; missing and doubled are errors (O8).
func (c Redirector) handles(l *list, answer flows.Callback) {
	if got, err := c.Guest.Handle(answer); err != nil || got != c.Start.Handle {
		l.addf("Handle: %q, %v; want %q", got, err, c.Start.Handle)
	}
	if _, err := c.Guest.Handle(flows.Callback{URL: answer.URL, Method: answer.Method}); err == nil {
		l.addf("Handle takes an answer without a state")
	}
	for name, values := range answer.Values {
		if slices.Contains(values, c.Start.Handle) {
			if _, err := c.Guest.Handle(with(answer, name, c.Start.Handle, "other")); err == nil {
				l.addf("Handle takes an answer with two %s", name)
			}
		}
	}
}

// tampered: an answer with a parameter missing, changed or doubled grants nothing,
// and the error is a refusal with a reason.
func (c Redirector) tampered(ctx context.Context, l *list) {
	answer, _ := c.begin(ctx, l)
	for name := range answer.Values {
		for _, how := range []string{"doubled", "changed"} {
			fresh, private := c.begin(ctx, l)
			if private == nil {
				return
			}
			bad := with(fresh, name, append(slices.Clone(fresh.Values[name]), fresh.Values[name]...)...)
			if how == "changed" {
				bad = with(fresh, name, "x")
			}
			p, err := c.Guest.Finish(ctx, bad, private)
			if how == "changed" && err == nil && name != "code" && name != "iss" && name != "SAMLResponse" {
				continue // parameters without a meaning may change
			}
			c.refused(l, fmt.Sprintf("%s %s", how, name), p, err)
		}
	}
	fresh, private := c.begin(ctx, l)
	if private == nil {
		return
	}
	p, err := c.Guest.Finish(ctx, flows.Callback{URL: fresh.URL, Method: fresh.Method}, private)
	c.refused(l, "an empty answer", p, err)
	for _, broken := range [][]byte{nil, []byte("{}"), []byte("x"), private[:len(private)/2]} {
		p, err = c.Guest.Finish(ctx, fresh, broken)
		c.refused(l, fmt.Sprintf("private state of %d bytes", len(broken)), p, err)
	}
}

// swapped: the answer to one login is not taken for another's (login CSRF, code injection: O1).
func (c Redirector) swapped(ctx context.Context, l *list) {
	first, one := c.begin(ctx, l)
	_, two := c.begin(ctx, l)
	if one == nil || two == nil {
		return
	}
	if string(one) == string(two) {
		l.addf("two logins have the same private state")
	}
	p, err := c.Guest.Finish(ctx, first, two)
	c.refused(l, "the answer to another login", p, err)
}

func (c Redirector) refused(l *list, what string, p flows.Proof, err error) {
	var r *flows.Refusal
	if !errors.As(err, &r) || r.Reason == "" {
		l.addf("%s: got %v, want a refusal with a reason", what, err)
	}
	if p.User.Subject != "" || len(p.Evidence) > 0 {
		l.addf("%s: a proof comes with it", what)
	}
}

// judgeProof: a provider says who and how; the engine says under which name and realm.
func judgeProof(l *list, p flows.Proof) {
	u := p.User
	if u.Subject == "" {
		l.addf("the proof has no subject")
	}
	if u.Key != "" || u.Realm != "" || u.Provider != "" {
		l.addf("the proof sets key %q, realm %q or provider %q: that is the engine's", u.Key, u.Realm, u.Provider)
	}
	if p.Issuer == "" {
		l.addf("the proof has no issuer")
	}
	if len(p.Evidence) == 0 {
		l.addf("the proof has no evidence")
	}
	for _, e := range p.Evidence {
		if e.Method == "" || e.At.IsZero() {
			l.addf("evidence without a method or time: %+v", e)
		}
		if e.User != "" || e.Provider != "" {
			l.addf("evidence sets user %q or provider %q: that is the engine's", e.User, e.Provider)
		}
	}
	for name := range u.Attributes {
		if slices.Contains(flows.ReservedAttributes, name) {
			l.addf("attribute %q is reserved", name)
		}
	}
}

// with copies an answer and replaces one parameter.
func with(c flows.Callback, name string, values ...string) flows.Callback {
	c.Values = maps.Clone(c.Values)
	c.Values[name] = values
	return c
}

// list collects broken promises, also from goroutines.
type list struct {
	mu   sync.Mutex
	errs []error
}

func (l *list) addf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}
