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
