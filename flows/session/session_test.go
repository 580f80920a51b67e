package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

// proves is a step that is satisfied by a proof made up here.
type proves struct{ p flows.Proof }

func (s proves) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	if err := x.Adopt(s.p, "corp", "corp"); err != nil {
		return nil, err
	}
	return flows.Continue(), nil
}

type noSink struct{}

func (noSink) Write(context.Context, audit.Event) error { return nil }

var bg = context.Background()

const (
	origin    = "https://app.example"
	secretTok = "refresh-token-of-carol"
)

var limits = session.Limits{Idle: 30 * time.Minute, Lifetime: 12 * time.Hour}

// run finishes a flow for a person.
func (r *rig) run(flow, subject, sid string, change ...func(*flows.Proof)) flows.Finished {
	r.t.Helper()
	p := flows.Proof{
		User:     flows.User{Subject: subject, Name: "name-of-" + subject, Groups: []string{"group-of-" + subject}, Attributes: map[string]any{"iban": "iban-of-" + subject}},
		Evidence: []flows.Evidence{{Method: "oidc", At: r.clock.Now()}},
		Issuer:   "https://idp.example", SID: sid, Tokens: []byte(secretTok),
	}
	for _, f := range change {
		f(&p)
	}
	prog, err := flows.Compile(flow, "digest-1", []flows.Step{proves{p}})
	if err != nil {
		r.t.Fatal(err)
	}
	x := &flows.Execution{ID: "run", Flow: flow, Digest: "digest-1", Token: "t", Origin: origin, Started: r.clock.Now()}
	_, fin, err := prog.Advance(bg, x, nil)
	if err != nil || fin == nil {
		r.t.Fatalf("the run did not finish: %v", err)
	}
	return *fin
}

func receipt(t testing.TB) audit.Receipt {
	t.Helper()
	trail := audit.NewTrail(nil, noSink{})
	defer trail.Close()
	rc, err := trail.Before(bg, audit.Event{ID: "e"})
	if err != nil {
		t.Fatal(err)
	}
	return rc
}

func (r *rig) try(fin flows.Finished, old *session.Session, oldTicket *session.Ticket) (session.Ticket, *session.Session, error) {
	r.t.Helper()
	return r.Create(bg, receipt(r.t), fin, session.Browser{Origin: origin, IP: "192.0.2.1", Agent: "agent-of-carol"}, limits, old, oldTicket)
}

func (r *rig) login(subject, sid string) (session.Ticket, *session.Session) {
	r.t.Helper()
	t, s, err := r.try(r.run("default", subject, sid), nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return t, s
}

func (r *rig) wantLoad(t session.Ticket, want error) *session.Session {
	r.t.Helper()
	s, err := r.Load(bg, t, origin)
	if !errors.Is(err, want) || want == nil && err != nil {
		r.t.Fatalf("load: want %v, got %v", want, err)
	}
	return s
}

func TestI13TicketSecretAndPublicIDAreUnlinked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	text := tk.Text()
	raw := r.store.stolen()
	var ticketKey string
	for k, row := range raw {
		if strings.HasPrefix(k, "t/") {
			ticketKey = k
			if bytes.Contains(row.val, []byte(s.ID())) {
				t.Error("the ticket's row names the session")
			}
			if len(row.index) > 0 {
				t.Errorf("the ticket's row is in an index: %v", row.index)
			}
		} else if !strings.HasPrefix(k, "b/") && !strings.HasPrefix(k, "c/") {
			t.Errorf("unexpected row %s", k)
		}
	}
	all := r.store.bytes()
	for what, secret := range map[string]string{"ticket": text, "handle": text[:21], "secret": text[22:]} {
		if bytes.Contains(all, []byte(secret)) {
			t.Errorf("the %s is in the store", what)
		}
	}
	if strings.Contains(text, s.ID()) || strings.Contains(ticketKey, s.ID()) {
		t.Error("the public id is part of the ticket or of its row")
	}
	// The public id opens nothing, nor does half a ticket.
	for i, half := range []string{text[:21] + strings.Repeat("A", 22), strings.Repeat("A", 22) + text[22:42] + "A"} {
		h, err := session.ParseTicket(half)
		if err != nil {
			t.Fatalf("half %d: %v", i, err)
		}
		r.wantLoad(h, flows.ErrNotFound)
		if h.CacheKey() == tk.CacheKey() {
			t.Errorf("half %d has the cache key of the whole", i)
		}
	}
	if _, err := r.Load(bg, tk, "https://other.example"); !errors.Is(err, session.ErrOrigin) {
		t.Errorf("at another origin: want ErrOrigin, got %v", err)
	}
	// Renaming the origin in the store does not move the ticket: it is sealed in.
	r.store.set(func(d *double) {
		row := d.rows[ticketKey]
		row.val = bytes.Replace(row.val, []byte(origin), []byte("https://other.example"), 1)
		d.rows[ticketKey] = row
	})
	if _, err := r.Load(bg, tk, "https://other.example"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("with the origin forged in the store: want ErrNotFound, got %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{tk, &tk, struct{ T session.Ticket }{tk}, []session.Ticket{tk}} {
			if out := fmt.Sprintf(verb, v); !strings.Contains(out, "hidden") {
				t.Errorf("%s of %T shows a ticket: %s", verb, v, out)
			}
		}
	}
	//lint:ignore SA9005 that it serialises as nothing is the point
	if b, err := json.Marshal(tk); err != nil || string(b) != "{}" {
		t.Errorf("JSON of a ticket: %s, %v", b, err)
	}
}

func TestI13TicketIsReplacedWhenEvidenceIsAdded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	t1, s1 := r.login("carol", "sid-1")
	r.clock.Advance(time.Minute)
	t2, s2, err := r.try(r.run("staff", "carol", "sid-2"), s1, &t1)
	if err != nil {
		t.Fatal(err)
	}
	if s2.ID() != s1.ID() || !s2.Card.Started.Equal(s1.Card.Started) || !s2.Card.Expires.Equal(s1.Card.Expires) {
		t.Errorf("the session changed its id, start or end: %+v → %+v", s1.Card, s2.Card)
	}
	for _, f := range []string{"default", "staff"} {
		if _, ok := s2.Finished(f); !ok {
			t.Errorf("flow %s is not finished", f)
		}
	}
	r.wantLoad(t1, session.ErrRotated)
	r.wantLoad(t2, nil)
	r.clock.Advance(2 * time.Minute)
	r.wantLoad(t1, flows.ErrNotFound)
	// Somebody else's run never stands on it (I02).
	_, _, err = r.try(r.run("staff", "mallory", ""), s2, &t2)
	if flows.ReasonOf(err) != flows.ReasonUserMismatch {
		t.Errorf("another user on the session: %v", err)
	}
	r.wantLoad(t2, nil)
	// A body does not grow with every login.
	for range 20 {
		if t2, s2, err = r.try(r.run("staff", "carol", "sid-2"), s2, &t2); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s2.Grants); n != 1 {
		t.Errorf("one provider spoke 22 times and left %d grants", n)
	}
}

func TestI14CardAndBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-of-carol")
	stored := r.store.bytes()
	for _, secret := range []string{"carol", "corp", "iban", secretTok, "sid-of", "192.0.2.1", "agent-of", "default", "oidc", "idp.example"} {
		if bytes.Contains(stored, []byte(secret)) {
			t.Errorf("a stolen store shows %q", secret)
		}
	}
	// The card opens with the cluster's key only, and only as this session's.
	card := r.store.stolen()["c/"+s.ID()].val
	if b, err := r.ring.Open("card", s.ID(), card); err != nil || !bytes.Contains(b, []byte("name-of-carol")) {
		t.Errorf("the card does not open with the cluster key: %v", err)
	} else {
		for _, secret := range []string{secretTok, "iban-of-carol", "group-of-carol"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("store and key together show %q", secret)
			}
		}
	}
	if _, err := ring(t, "another-cluster-key-1").Open("card", s.ID(), card); !errors.Is(err, session.ErrSealed) {
		t.Errorf("the card opened with another key: %v", err)
	}
	if _, err := r.ring.Open("card", "another-session", card); !errors.Is(err, session.ErrSealed) {
		t.Errorf("the card opened as another session's: %v", err)
	}
	// The body opens with no key of the cluster, under whatever purpose.
	body := r.store.stolen()["b/"+s.ID()].val
	for _, purpose := range []string{"card", "body", "vault", "state", "execution"} {
		for _, ad := range []string{"", s.ID(), "body " + s.ID()} {
			if _, err := r.ring.Open(purpose, ad, body); err == nil {
				t.Errorf("the cluster key opens the body as %s %s", purpose, ad)
			}
		}
	}
	if got := r.wantLoad(tk, nil); string(got.Grants[0].Tokens) != secretTok || got.User.Attributes["iban"] != "iban-of-carol" || got.User.Key != "corp:carol" {
		t.Errorf("with its ticket the body reads %+v", got.User)
	}
	// Bodies are not exchanged between sessions.
	tk2, s2 := r.login("dave", "")
	r.store.set(func(d *double) { d.rows["b/"+s2.ID()], d.rows["c/"+s2.ID()] = d.rows["b/"+s.ID()], d.rows["c/"+s.ID()] })
	r.wantLoad(tk2, flows.ErrNotFound)
}

func TestI14TombstoneIsKeptForADay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	c, first, err := r.End(bg, s.ID(), "logout")
	if err != nil || !first || c.Name != "name-of-carol" {
		t.Fatalf("end: %+v %v %v", c, first, err)
	}
	if _, first, err = r.End(bg, s.ID(), "revoked"); err != nil || first {
		t.Errorf("ended twice: %v %v", first, err)
	}
	if _, ok := r.store.stolen()["b/"+s.ID()]; ok {
		t.Error("the body outlived its session")
	}
	r.wantLoad(tk, session.ErrEnded)
	if l, err := r.List(bg, "corp:carol", "", 10); err != nil || len(l) != 0 {
		t.Errorf("an ended session is listed: %v %v", l, err)
	}
	r.clock.Advance(24*time.Hour - time.Second)
	if c, err := r.Card(bg, s.ID()); err != nil || c.Reason != "logout" || c.Ended.IsZero() {
		t.Errorf("tombstone after almost a day: %+v %v", c, err)
	}
	r.clock.Advance(time.Second)
	if _, err := r.Card(bg, s.ID()); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("tombstone after a day: %v", err)
	}
	if _, _, err := r.End(bg, "nosuch", "logout"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("ending what is not there: %v", err)
	}
}

func TestI15RevocationIsAFactWithATime(t *testing.T) {
	t.Parallel()
	revokes := map[string]func(r *rig) error{
		"user": func(r *rig) error { return r.NotBeforeUser(bg, "corp:carol", r.clock.Now()) },
		"sid":  func(r *rig) error { return r.NotBeforeSID(bg, "corp", "sid-1", r.clock.Now()) },
	}
	for name, revoke := range revokes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tk, s := r.login("carol", "sid-1")
			_, dave := r.login("dave", "sid-2")
			underWay := r.run("default", "carol", "sid-1")
			r.clock.Advance(time.Second)
			if err := revoke(r); err != nil {
				t.Fatal(err)
			}
			r.clock.Advance(time.Second)
			r.wantLoad(tk, session.ErrEnded)
			if err := r.Touch(bg, s); !errors.Is(err, session.ErrEnded) {
				t.Errorf("touch of a revoked session: %v", err)
			}
			if err := r.Check(bg, s); !errors.Is(err, session.ErrEnded) {
				t.Errorf("check of a revoked session: %v", err)
			}
			if _, _, err := r.try(underWay, nil, nil); flows.ReasonOf(err) != flows.ReasonRevoked {
				t.Errorf("a login that was under way came in behind the revocation: %v", err)
			}
			if _, _, err := r.try(r.run("staff", "carol", "sid-1"), s, &tk); flows.ReasonOf(err) != flows.ReasonRevoked {
				t.Errorf("a revoked session was renewed: %v", err)
			}
			if err := r.Touch(bg, dave); err != nil {
				t.Errorf("somebody else was revoked: %v", err)
			}
			// A login that begins afterwards is a new one.
			tk2, _ := r.login("carol", "sid-3")
			r.wantLoad(tk2, nil)
			// An older revocation does not take a newer one back.
			if err := r.NotBeforeUser(bg, "corp:carol", r.clock.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.wantLoad(tk, session.ErrEnded)
		})
	}
}

func TestI15RevocationInTheMiddleOfALogin(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"b/", "c/", "t/"} {
		t.Run("before "+at, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			fin := r.run("default", "carol", "sid-1")
			var ended []string
			r.store.set(func(d *double) {
				d.before = func(key string) {
					if !strings.HasPrefix(key, at) {
						return
					}
					d.set(func(d *double) { d.before = nil })
					r.clock.Advance(time.Second)
					if err := r.NotBeforeUser(bg, "corp:carol", r.clock.Now()); err != nil {
						t.Error(err)
					}
					l, err := r.List(bg, "corp:carol", "", 10)
					if err != nil {
						t.Error(err)
					}
					for _, c := range l {
						ended = append(ended, c.ID)
						if _, _, err := r.End(bg, c.ID, flows.ReasonRevoked); err != nil {
							t.Error(err)
						}
					}
				}
			})
			tk, s, err := r.try(fin, nil, nil)
			if err != nil {
				if l, _ := r.List(bg, "corp:carol", "", 10); len(l) != 0 {
					t.Errorf("a refused login left a living session: %v", l)
				}
				return
			}
			if len(ended) != 1 || ended[0] != s.ID() {
				t.Errorf("a session was made behind a revocation that did not see it")
			}
			r.wantLoad(tk, session.ErrEnded)
		})
	}
}

func TestI15EndedSessionsAreNotWrittenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "")
	if _, _, err := r.End(bg, s.ID(), "logout"); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	s.Active(r.clock.Now())
	if err := r.Touch(bg, s); !errors.Is(err, session.ErrEnded) {
		t.Errorf("touch: %v", err)
	}
	if _, _, err := r.try(r.run("staff", "carol", ""), s, &tk); !errors.Is(err, session.ErrEnded) {
		t.Errorf("renewing an ended session: %v", err)
	}
	if _, ok := r.store.stolen()["b/"+s.ID()]; ok {
		t.Error("the body of an ended session was written back")
	}
	r.wantLoad(tk, session.ErrEnded)
	r.clock.Advance(25 * time.Hour)
	if err := r.Touch(bg, s); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("touch after the tombstone: %v", err)
	}
	if n := len(r.store.stolen()); r.store.rows["c/"+s.ID()].until.After(r.clock.Now()) {
		t.Errorf("a dead card lives among %d rows", n)
	}
}

// However End races with Touch and a step-up, the end holds.
func TestI15EndWinsEveryRace(t *testing.T) {
	t.Parallel()
	for range 50 {
		r := newRig(t)
		tk, s := r.login("carol", "sid-1")
		fins := []flows.Finished{r.run("a", "carol", "sid-1"), r.run("b", "carol", "sid-1")}
		tickets := make([]session.Ticket, len(fins))
		var wg sync.WaitGroup
		var firsts, ends int
		var mu sync.Mutex
		for range 4 {
			wg.Go(func() { _ = r.Touch(bg, s) })
			wg.Go(func() {
				_, first, err := r.End(bg, s.ID(), "logout")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					ends++
				}
				if first {
					firsts++
				}
			})
		}
		for i, f := range fins {
			wg.Go(func() { tickets[i], _, _ = r.try(f, s, &tk) })
		}
		wg.Wait()
		if firsts != 1 || ends != 4 {
			t.Fatalf("%d of %d ends were the first", firsts, ends)
		}
		for _, tk := range append(tickets, tk) {
			if _, err := r.Load(bg, tk, origin); err == nil {
				t.Fatal("a ticket opens a session that ended")
			}
		}
		if _, ok := r.store.stolen()["b/"+s.ID()]; ok {
			t.Fatal("a body outlived the end")
		}
	}
}

// What two tabs add to one session, and what Touch writes, loses nothing.
func TestI15ConcurrentChangesLoseNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	r.clock.Advance(time.Minute)
	if _, _, err := r.try(r.run("a", "carol", "sid-2"), s, &tk); err != nil {
		t.Fatal(err)
	}
	// This tab still holds the session as it was.
	t3, _, err := r.try(r.run("b", "carol", "", func(p *flows.Proof) { p.NotAfter = r.clock.Now().Add(time.Hour) }), s, &tk)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	s.Active(r.clock.Now())
	if err := r.Touch(bg, s); err != nil {
		t.Fatal(err)
	}
	c, err := r.Card(bg, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"default", "a", "b"} {
		if _, ok := c.Flows[f]; !ok {
			t.Errorf("flow %s was lost", f)
		}
	}
	if c.SIDs["corp"] != "sid-2" || !c.Seen.Equal(r.clock.Now()) {
		t.Errorf("card: %+v", c)
	}
	if got := c.Expires.Sub(r.clock.Now()); got != 59*time.Minute {
		t.Errorf("the provider's end was lost: %s left", got)
	}
	if ids, err := r.BySID(bg, "corp", "sid-2"); err != nil || len(ids) != 1 {
		t.Errorf("single logout does not find the session: %v %v", ids, err)
	}
	r.clock.Advance(time.Hour)
	r.wantLoad(t3, session.ErrEnded)
	if _, _, err := r.try(r.run("c", "carol", "", func(p *flows.Proof) { p.NotAfter = r.clock.Now() }), nil, nil); err == nil {
		t.Error("a login that is over already made a session")
	}
}

func TestI16UpdateCallbacksArePure(t *testing.T) {
	t.Parallel()
	// The double runs every callback twice and reports differences; here is every
	// path that updates, also over rows that do not open.
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	t2, s2, err := r.try(r.run("staff", "carol", "sid-2", func(p *flows.Proof) { p.Issuer = "x" }), s, &tk)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	s2.Active(r.clock.Now())
	for _, f := range []func() error{
		func() error { return r.Touch(bg, s2) },
		func() error { return r.NotBeforeUser(bg, "corp:dave", r.clock.Now()) },
		func() error { return r.NotBeforeUser(bg, "corp:dave", r.clock.Now().Add(-time.Hour)) },
		func() error { return r.NotBeforeSID(bg, "corp", "other", r.clock.Now()) },
	} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	r.wantLoad(t2, nil)
	if _, first, err := r.End(bg, s.ID(), "logout"); err != nil || !first {
		t.Errorf("first end: %v %v", first, err)
	}
	if _, first, err := r.End(bg, s.ID(), "logout"); err != nil || first {
		t.Errorf("second end: %v %v", first, err)
	}
	_, s3 := r.login("erin", "")
	r.ring = ring(t, "a-key-that-never-sealed")
	if c, first, err := r.End(bg, s3.ID(), "logout"); c != nil || first || err != nil {
		t.Errorf("ending a card that does not open: %v %v %v", c, first, err)
	}
	if err := r.Touch(bg, s3); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("touching a card that does not open: %v", err)
	}
}

func TestI16NotThereIsNotCouldNotAsk(t *testing.T) {
	t.Parallel()
	down := fmt.Errorf("disk: %w", flows.ErrUnavailable)
	for _, at := range []string{"get t/", "get c/", "get b/", "get n/"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tk, s := r.login("carol", "sid-1")
			r.store.set(func(d *double) { d.refuse[at] = down })
			_, err := r.Load(bg, tk, origin)
			if !errors.Is(err, flows.ErrUnavailable) {
				t.Errorf("load: want ErrUnavailable, got %v", err)
			}
			for _, no := range []error{flows.ErrNotFound, session.ErrEnded, session.ErrRotated, session.ErrOrigin} {
				if errors.Is(err, no) {
					t.Errorf("could not ask reads as %v", no)
				}
			}
			if at == "get c/" || at == "get n/" {
				if err := r.Check(bg, s); !errors.Is(err, flows.ErrUnavailable) {
					t.Errorf("check: %v", err)
				}
			}
			r.store.set(func(d *double) { clear(d.refuse) })
			r.wantLoad(tk, nil)
		})
	}
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	fin := r.run("default", "carol", "")
	r.store.set(func(d *double) { d.down = down })
	calls := map[string]func() error{
		"load":    func() error { _, err := r.Load(bg, tk, origin); return err },
		"card":    func() error { _, err := r.Card(bg, s.ID()); return err },
		"check":   func() error { return r.Check(bg, s) },
		"touch":   func() error { return r.Touch(bg, s) },
		"end":     func() error { _, _, err := r.End(bg, s.ID(), "logout"); return err },
		"list":    func() error { _, err := r.List(bg, "corp:carol", "", 10); return err },
		"by sid":  func() error { _, err := r.BySID(bg, "corp", "sid-1"); return err },
		"revoke":  func() error { return r.NotBeforeUser(bg, "corp:carol", r.clock.Now()) },
		"create":  func() error { _, _, err := r.try(fin, nil, nil); return err },
		"step up": func() error { _, _, err := r.try(fin, s, &tk); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) || errors.Is(err, session.ErrEnded) {
			t.Errorf("%s with the store down: %v", name, err)
		}
	}
	r.store.set(func(d *double) { d.down = nil })
	// Without keys nothing can be read either: that is no "no".
	r.Keys = func(context.Context) (*session.Keyring, error) { return nil, down }
	for name, call := range calls {
		if err := call(); !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) {
			t.Errorf("%s without keys: %v", name, err)
		}
	}
}

func TestI27SessionsNeedFinishedAndReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fin := r.run("default", "carol", "")
	b := session.Browser{Origin: origin}
	if _, _, err := r.Create(bg, audit.Receipt{}, fin, b, limits, nil, nil); err == nil {
		t.Error("a session without an audit receipt")
	}
	if _, _, err := r.Create(bg, receipt(t), flows.Finished{}, b, limits, nil, nil); err == nil {
		t.Error("a session without a finished execution")
	}
	if n := len(r.store.stolen()); n != 0 {
		t.Errorf("refused sessions left %d rows", n)
	}
	if _, _, err := r.Create(bg, receipt(t), fin, b, limits, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestListPagesOverEverySession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := map[string]bool{}
	const n = 57
	for i := range n {
		if i == 40 {
			// Two thirds were used meanwhile; then the keys are rotated.
			r.clock.Advance(20 * time.Minute)
			for id := range want {
				c, err := r.Card(bg, id)
				if err != nil {
					t.Fatal(err)
				}
				s := &session.Session{Card: *c}
				s.Active(r.clock.Now())
				if err := r.Touch(bg, s); err != nil {
					t.Fatal(err)
				}
			}
			r.ring = ring(t, "cluster-key-two-4567", "cluster-key-one-0123")
		}
		_, s := r.login("carol", "one-sid")
		if i < 40 && i%3 == 0 { // gone by idleness: their cards are there until the end of the lifetime
			continue
		}
		want[s.ID()] = true
	}
	_, other := r.login("dave", "")
	r.clock.Advance(20 * time.Minute)
	got := map[string]bool{}
	for after := ""; ; {
		l, err := r.List(bg, "corp:carol", after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range l {
			if c.ID <= after || got[c.ID] {
				t.Fatalf("%s comes twice or out of order", c.ID)
			}
			got[c.ID], after = true, c.ID
		}
		if len(l) < 7 {
			break
		}
	}
	if len(got) != len(want) || got[other.ID()] {
		t.Errorf("listed %d of %d sessions", len(got), len(want))
	}
	for id := range want {
		if !got[id] {
			t.Errorf("%s is missing", id)
		}
	}
	ids, err := r.BySID(bg, "corp", "one-sid")
	if err != nil || len(ids) != n {
		t.Errorf("by sid: want %d, got %d, %v", n, len(ids), err)
	}
}
