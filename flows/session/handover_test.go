package session_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

const app = "https://payroll.example"

// lend hands a session over to the application's host.
func (r *rig) lend(s *session.Session) (session.Ticket, *session.Session) {
	r.t.Helper()
	code, err := r.HandOver(bg, s, app, session.Handover{Pending: "p", Nonce: "n"})
	if err != nil {
		r.t.Fatal(err)
	}
	h, err := r.Handed(bg, code, app)
	if err != nil || h.SessionID() != s.ID() || h.Pending != "p" || h.Nonce != "n" {
		r.t.Fatalf("%+v, %v", h, err)
	}
	if err := r.SpendHandover(bg, code); err != nil {
		r.t.Fatal(err)
	}
	t, lent, err := r.Lend(bg, receipt(r.t), h, session.Browser{Origin: app})
	if err != nil {
		r.t.Fatal(err)
	}
	return t, lent
}

func (r *rig) wantAtApp(t session.Ticket, want error) *session.Session {
	r.t.Helper()
	s, err := r.Load(bg, t, app)
	if !errors.Is(err, want) || want == nil && err != nil {
		r.t.Fatalf("at the application: want %v, got %v", want, err)
	}
	return s
}

func TestI13SessionIsLentUnderAnotherTicket(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	own, s := r.login("carol", "sid-1")
	lent, at := r.lend(s)
	if at.ID() != s.ID() || at.Origin != app || at.User.Name != s.User.Name || len(at.Grants) != 1 {
		t.Errorf("lent: %+v", at)
	}
	if a, b := own.Text(), lent.Text(); a[:21] == b[:21] || a[22:] == b[22:] {
		t.Error("the tickets have a half in common")
	}
	r.wantLoad(own, nil)
	r.wantAtApp(lent, nil)
	r.wantLoad(lent, session.ErrOrigin)
	r.wantAtApp(own, session.ErrOrigin)
	c, err := r.Card(bg, s.ID())
	if err != nil || strings.Join(c.Origins, " ") != origin+" "+app {
		t.Errorf("card %v, %v", c, err)
	}
	if _, _, err := r.End(bg, s.ID(), flows.ReasonRevoked); err != nil {
		t.Fatal(err)
	}
	r.wantLoad(own, session.ErrEnded)
	r.wantAtApp(lent, session.ErrEnded)
}

func TestI13EvidenceOutdatesWhatWasLent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	own, s := r.login("carol", "sid-1")
	lent, at := r.lend(s)
	r.clock.Advance(time.Minute)
	newer, s2, err := r.try(r.run("default", "carol", "sid-2"), s, &own)
	if err != nil {
		t.Fatal(err)
	}
	r.wantLoad(own, session.ErrRotated)
	r.wantLoad(newer, nil)
	r.wantAtApp(lent, session.ErrRotated)
	if !at.Outdated(s2.Card.Rotation) || s2.Outdated(s2.Card.Rotation) {
		t.Error("a cached session does not know that its ticket is outdated")
	}
	// A renewal on the way does not make it good again, nor end anything.
	fresh, err := r.Reload(bg, at)
	if err != nil || !fresh.Outdated(s2.Card.Rotation) {
		t.Errorf("reloaded: %v", err)
	}
	again, _ := r.lend(s2)
	r.wantAtApp(again, nil)
	r.clock.Advance(2 * time.Minute)
	r.wantAtApp(lent, flows.ErrNotFound)
	r.wantAtApp(again, nil)
}

func TestI13RetiredTicketIsRecognised(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	lent, _ := r.lend(s)
	again, _ := r.lend(s)
	r.Retire(bg, lent)
	r.wantAtApp(lent, session.ErrRotated)
	r.wantAtApp(again, nil)
}

// TestI09PassIsUsedOnce: many at once, and one gets it; nothing of it is in the store.
func TestI09PassIsUsedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	code, err := r.HandOver(bg, s, app, session.Handover{Pending: "pending-of-carol", Nonce: "nonce-of-carol", ReturnTo: "/path-of-carol"})
	if err != nil {
		t.Fatal(err)
	}
	text := code.Text()
	for what, secret := range map[string]string{"code": text, "handle": text[:21], "secret": text[22:], "nonce": "nonce-of-carol", "address": "path-of-carol", "session": s.ID()} {
		for k, row := range r.store.stolen() {
			if strings.HasPrefix(k, "o/") && (bytes.Contains(row.val, []byte(secret)) || strings.Contains(k, secret)) {
				t.Errorf("the %s is in the store", what)
			}
		}
	}
	for what, bent := range map[string]string{"secret": text[:22] + strings.Repeat("A", 21), "handle": strings.Repeat("A", 22) + text[22:]} {
		p, err := session.ParsePass(bent)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Handed(bg, p, app); !errors.Is(err, session.ErrOrigin) && !errors.Is(err, flows.ErrNotFound) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if _, err := r.Handed(bg, code, "https://other.example"); !errors.Is(err, session.ErrOrigin) {
		t.Errorf("elsewhere: %v", err)
	}
	if tk, err := session.ParseTicket(text); err != nil {
		t.Fatal(err)
	} else {
		r.wantAtApp(tk, flows.ErrNotFound) // a code is no ticket
	}
	var got atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if r.SpendHandover(bg, code) == nil {
				got.Add(1)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("used %d times", got.Load())
	}
	if _, err := r.Handed(bg, code, app); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("used up: %v", err)
	}
}

func TestI09PassEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	code, err := r.HandOver(bg, s, app, session.Handover{})
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(session.HandoverFor + time.Second)
	if _, err := r.Handed(bg, code, app); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("after half a minute: %v", err)
	}
}

// TestI15NothingIsLentAfterTheEnd: a session that ended, or was revoked, on its way.
func TestI15NothingIsLentAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		end  func(*rig, *session.Session) error
	}{
		{"ended", func(r *rig, s *session.Session) error {
			_, _, err := r.End(bg, s.ID(), flows.ReasonRevoked)
			return err
		}},
		{"revoked", func(r *rig, s *session.Session) error {
			return r.NotBeforeUser(bg, s.Card.User, r.clock.Now())
		}},
		{"revoked by its provider", func(r *rig, _ *session.Session) error {
			return r.NotBeforeSID(bg, "corp", "sid-1", r.clock.Now())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			_, s := r.login("carol", "sid-1")
			code, err := r.HandOver(bg, s, app, session.Handover{})
			if err != nil {
				t.Fatal(err)
			}
			h, err := r.Handed(bg, code, app)
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.end(r, s); err != nil {
				t.Fatal(err)
			}
			if _, _, err := r.Lend(bg, receipt(t), h, session.Browser{Origin: app}); !errors.Is(err, session.ErrEnded) {
				t.Errorf("lent all the same: %v", err)
			}
		})
	}
}

func TestI25LendingNeedsAReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	code, err := r.HandOver(bg, s, app, session.Handover{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.Handed(bg, code, app)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Lend(bg, audit.Receipt{}, h, session.Browser{Origin: app}); err == nil {
		t.Error("lent without a receipt")
	}
}
