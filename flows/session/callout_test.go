package session_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

func TestI14CallOutsStandOnTheCard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tk, s := r.login("carol", "sid-1")
	for range 2 {
		if err := r.TellAtEnd(bg, s.ID(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	// Another login on the session, by a tab that does not know of it, loses nothing.
	if _, _, err := r.try(r.run("staff", "carol", "sid-1"), s, &tk); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := r.TellAtEnd(bg, s.ID(), fmt.Sprint("n", i)); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := r.End(bg, s.ID(), "logout")
	if err != nil || len(c.CallOuts) != 64 || c.CallOuts[0] != "one" || c.CallOuts[1] != "n0" {
		t.Errorf("call-outs: %q, %v", c.CallOuts, err)
	}
	if err := r.TellAtEnd(bg, s.ID(), "late"); !errors.Is(err, session.ErrEnded) {
		t.Errorf("noted on a tombstone: %v", err)
	}
	if err := r.TellAtEnd(bg, "nosuch", "late"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("noted on nothing: %v", err)
	}
}

func TestI14OverdueSessionsAreFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	over := func(want ...session.Overdue) {
		t.Helper()
		var got []session.Overdue
		for after := ""; ; {
			found, next, err := r.Overdue(bg, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, found...); next == "" {
				break
			}
			after = next
		}
		if len(got) != len(want) {
			t.Fatalf("overdue: %v, want %v", got, want)
		}
		for _, w := range want {
			found := false
			for _, g := range got {
				found = found || g == w
			}
			if !found {
				t.Errorf("overdue: %v, want %v", got, want)
			}
		}
	}
	var ids []string
	for i := range 5 {
		_, s := r.login(fmt.Sprint("user", i), fmt.Sprint("sid-", i))
		ids = append(ids, s.ID())
		if i == 0 {
			continue // nobody wants to hear of this one
		}
		if err := r.TellAtEnd(bg, s.ID(), "app"); err != nil {
			t.Fatal(err)
		}
	}
	over()
	r.clock.Advance(time.Second)
	if err := r.NotBeforeSID(bg, "corp", "sid-1", r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.End(bg, ids[2], "logout"); err != nil {
		t.Fatal(err)
	}
	over(session.Overdue{ID: ids[1], Revoked: true})
	// Past every limit, and still there to be found for a day.
	r.clock.Advance(13 * time.Hour)
	over(session.Overdue{ID: ids[1], Revoked: true}, session.Overdue{ID: ids[3]}, session.Overdue{ID: ids[4]})
	if c, first, err := r.End(bg, ids[3], "expired"); err != nil || !first || len(c.CallOuts) != 1 {
		t.Errorf("ending an overdue session: %+v %v %v", c, first, err)
	}
	if l, err := r.List(bg, "", "", 10); err != nil || len(l) != 0 {
		t.Errorf("sessions that are over are listed: %v %v", l, err)
	}
	r.clock.Advance(25 * time.Hour)
	over()
}

// A provider may speak of a session that ended here already.
func TestI14EndedSessionIsFoundByItsSID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	if _, _, err := r.End(bg, s.ID(), "logout"); err != nil {
		t.Fatal(err)
	}
	if ids, err := r.BySID(bg, "corp", "sid-1"); err != nil || len(ids) != 1 || ids[0] != s.ID() {
		t.Errorf("after the end: %v %v", ids, err)
	}
	r.clock.Advance(24 * time.Hour)
	if ids, err := r.BySID(bg, "corp", "sid-1"); err != nil || len(ids) != 0 {
		t.Errorf("after a day: %v %v", ids, err)
	}
}

// A session that is over by its lifetime is found to be so: its end is noted (I14).
func TestI14LifetimeLeavesACardToEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, s := r.login("carol", "sid-1")
	r.clock.Advance(13 * time.Hour)
	c, first, err := r.End(bg, s.ID(), "expired")
	if err != nil || !first || c.User != s.User.Key {
		t.Errorf("ending it: %+v %v %v", c, first, err)
	}
}
