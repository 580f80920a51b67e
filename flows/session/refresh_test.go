package session_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// renewable makes the run's proof one that ends after an hour.
func (r *rig) renewable(p *flows.Proof) { p.Stale = r.clock.Now().Add(time.Hour) }

// renewal is a provider's answer to the session's first grant.
func (r *rig) renewal(s *session.Session, tokens string, groups ...string) session.Renewal {
	p := flows.Proof{User: flows.User{Name: "new-name", Groups: groups}, Issuer: "https://idp.example", SID: "sid-2", Tokens: []byte(tokens), Stale: r.clock.Now().Add(time.Hour)}
	return session.Renewal{
		Old: s.Grants[0], New: flows.Granted(p, "corp", r.clock.Now()),
		User: func(old *flows.User, rest []flows.Grant) *flows.User { return old.Renewed(&p.User, s.Grants[0], rest) },
	}
}

func (r *rig) renewed() (session.Ticket, *session.Session) {
	r.t.Helper()
	tk, s, err := r.try(r.run("default", "carol", "sid-1", r.renewable), nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return tk, s
}

func TestB02WhenASessionIsRenewed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, never := r.login("bob", "")
	_, s := r.renewed()
	for _, tc := range []struct {
		at         time.Duration
		due, stale bool
	}{{0, false, false}, {59*time.Minute - time.Second, false, false}, {59 * time.Minute, true, false}, {time.Hour - time.Second, true, false}, {time.Hour, true, true}} {
		now := r.clock.Now().Add(tc.at)
		if s.RenewDue(now) != tc.due || s.Stale(now) != tc.stale || (len(s.Due(now)) == 1) != tc.due {
			t.Errorf("after %s: due %v with %d grants, stale %v", tc.at, s.RenewDue(now), len(s.Due(now)), s.Stale(now))
		}
		if never.RenewDue(now.Add(1000*time.Hour)) || never.Stale(now.Add(1000*time.Hour)) {
			t.Error("a session that nobody renews is due")
		}
	}
	now := r.clock.Now()
	for life, lead := range map[time.Duration]time.Duration{10 * time.Second: time.Second, 5 * time.Minute: 30 * time.Second, 24 * time.Hour: time.Minute, -time.Second: 0} {
		g := flows.Grant{At: now, Stale: now.Add(life)}
		if got := g.Stale.Sub(g.Renew()); got != lead {
			t.Errorf("a life of %s is renewed %s before its end, want %s", life, got, lead)
		}
	}
}

func TestI15RenewedSessionIsNotWrittenBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(r *rig, id string) error{
		"ended":       func(r *rig, id string) error { _, _, err := r.End(bg, id, flows.ReasonRevoked); return err },
		"user":        func(r *rig, _ string) error { return r.NotBeforeUser(bg, "corp:carol", r.clock.Now()) },
		"sid":         func(r *rig, _ string) error { return r.NotBeforeSID(bg, "corp", "sid-1", r.clock.Now()) },
		"time":        func(r *rig, _ string) error { r.clock.Advance(12 * time.Hour); return nil },
		"still there": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tk, s := r.renewed()
			n := r.renewal(s, "rotated", "g2")
			if end == nil {
				r.clock.Advance(20 * time.Minute)
				n = r.renewal(s, "rotated", "g2")
				got, err := r.Renew(bg, s, n)
				if err != nil {
					t.Fatal(err)
				}
				l := r.wantLoad(tk, nil)
				for _, s := range []*session.Session{got, l} {
					if string(s.Grants[0].Tokens) != "rotated" || !slices.Equal(s.User.Groups, []string{"g2"}) || s.Card.Name != "new-name" || s.Facts.SID != "sid-2" {
						t.Errorf("%+v, %+v", s.User, s.Card)
					}
					if s.User.Key != "corp:carol" || len(s.Evidence) != 1 || s.RenewDue(r.clock.Now().Add(58*time.Minute)) {
						t.Errorf("%+v", s)
					}
				}
				if !l.Seen().Equal(s.Seen()) {
					t.Error("being renewed counts as activity")
				}
				if ids, err := r.BySID(bg, "corp", "sid-2"); err != nil || !slices.Equal(ids, []string{s.ID()}) {
					t.Errorf("by its new sid: %v, %v", ids, err)
				}
				return
			}
			if err := end(r, s.ID()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Renew(bg, s, n); !errors.Is(err, session.ErrEnded) && !errors.Is(err, flows.ErrNotFound) {
				t.Errorf("want its end, got %v", err)
			}
			if _, err := r.Load(bg, tk, origin); err == nil {
				t.Error("the session is back")
			}
		})
	}
}

// What others got meanwhile stays: a renewal by another node, or a new login.
func TestB02RenewalOfOldTokensIsDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.renewed()
	first, late := r.renewal(s, "rotated", "g2"), r.renewal(s, "of a token used twice", "g3")
	if _, err := r.Renew(bg, s, first); err != nil {
		t.Fatal(err)
	}
	got, err := r.Renew(bg, s, late)
	if err != nil || string(got.Grants[0].Tokens) != "rotated" || !slices.Equal(got.User.Groups, []string{"g2"}) {
		t.Errorf("%+v, %v", got.User, err)
	}
	// Only the tokens are new: the person stays as they are, and stays due.
	half := session.Renewal{Old: got.Grants[0], New: got.Grants[0]}
	half.New.Tokens = []byte("half")
	if got, err = r.Renew(bg, got, half); err != nil || string(got.Grants[0].Tokens) != "half" || !slices.Equal(got.User.Groups, []string{"g2"}) {
		t.Errorf("%+v, %v", got.User, err)
	}
}

// A step-up that was under way while the session was renewed does not turn the
// tokens back, and what it knew of the person is asked for again.
func TestB02RunOverARenewedSessionKeepsItsTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.renewed()
	r.clock.Advance(time.Minute)
	run := r.run("other", "carol", "", func(p *flows.Proof) { p.Stale = time.Time{} })
	x := run.Execution()
	x.User, x.Grants, x.Evidence = s.User, nil, s.Evidence // it stands on the session
	r.clock.Advance(time.Minute)
	if _, err := r.Renew(bg, s, r.renewal(s, "rotated", "g2")); err != nil {
		t.Fatal(err)
	}
	next, got, err := r.try(run, s, &tk)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*session.Session{got, r.wantLoad(next, nil)} {
		if len(s.Grants) != 1 || string(s.Grants[0].Tokens) != "rotated" {
			t.Errorf("grants %+v", s.Grants)
		}
		if !s.RenewDue(r.clock.Now()) || !s.Stale(r.clock.Now()) {
			t.Error("claims from before the renewal are taken for new")
		}
	}
	// A login at the provider itself replaces them.
	again := r.run("third", "carol", "sid-3", r.renewable, func(p *flows.Proof) { p.Tokens = []byte("of a new login") })
	if _, got, err = r.try(again, got, &next); err != nil || len(got.Grants) != 1 || string(got.Grants[0].Tokens) != "of a new login" || got.RenewDue(r.clock.Now()) {
		t.Errorf("%+v, %v", got.Grants, err)
	}
}

func TestB02ReloadKeepsActivityThatIsNotWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.renewed()
	r.clock.Advance(29 * time.Minute)
	s.Active(r.clock.Now())
	r.clock.Advance(10 * time.Minute) // the card still says 39 minutes of silence
	got, err := r.Reload(bg, s)
	if err != nil || !got.Seen().Equal(s.Seen()) {
		t.Fatalf("%v", err)
	}
	r.clock.Advance(20 * time.Minute)
	if _, err := r.Reload(bg, s); !errors.Is(err, session.ErrEnded) {
		t.Errorf("want ErrEnded, got %v", err)
	}
}

func TestI16OneHolderOfALease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	claim := func(holder string) error { return r.Claim(bg, "id", holder, time.Minute) }
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := claim("a"); err == nil {
				won.Add(1)
			} else if !errors.Is(err, session.ErrBusy) {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); won.Load() != 1 {
		t.Fatalf("%d hold the lease", won.Load())
	}
	steps := []struct {
		name string
		do   func() error
		want error
	}{
		{"a stranger gives it back", func() error { return r.Release(bg, "id", "b", 0) }, nil},
		{"it is held", func() error { return claim("b") }, session.ErrBusy},
		{"the holder gives it back", func() error { return r.Release(bg, "id", "a", 0) }, nil},
		{"free", func() error { return claim("b") }, nil},
		{"it failed", func() error { return r.Release(bg, "id", "b", 10*time.Second) }, nil},
		{"nobody asks", func() error { return claim("a") }, session.ErrResting},
		{"after a rest", func() error { r.clock.Advance(10 * time.Second); return claim("a") }, nil},
		{"its holder died", func() error { r.clock.Advance(time.Minute); return claim("b") }, nil},
		{"and comes back too late", func() error { return r.Release(bg, "id", "a", time.Hour) }, nil},
		{"it is another's", func() error { return claim("c") }, session.ErrBusy},
	}
	for _, s := range steps {
		if err := s.do(); !errors.Is(err, s.want) {
			t.Fatalf("%s: %v, want %v", s.name, err, s.want)
		}
	}
}
