package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

func (r *rig) wantKnown(t session.Ticket, at string, want error) {
	r.t.Helper()
	c, err := r.Recognise(bg, t, at)
	if !errors.Is(err, want) || want == nil && (err != nil || c.User == "") {
		r.t.Fatalf("recognised: %v %v, want %v", c, err, want)
	}
}

// What was a ticket opens its row for a day after its session, however that ended;
// what looks like one opens nothing (I21).
func TestI21TicketsAreRecognisedByOpeningThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	own, s := r.login("carol", "sid-1")
	lent, _ := r.lend(s)
	idle, _ := r.login("dave", "sid-2")
	r.wantKnown(own, origin, nil)
	r.wantKnown(lent, app, nil)
	r.wantKnown(own, app, session.ErrOrigin)
	r.wantKnown(lent, origin, session.ErrOrigin)
	r.wantKnown(session.NewTicket(), origin, flows.ErrNotFound)
	text := []byte(own.Text())
	was := text[30] // the handle is right, the secret is not
	if text[30] = 'A'; was == 'A' {
		text[30] = 'B'
	}
	forged, err := session.ParseTicket(string(text))
	if err != nil {
		t.Fatal(err)
	}
	r.wantKnown(forged, origin, flows.ErrNotFound)

	r.clock.Advance(time.Minute)
	newer, s, err := r.try(r.run("default", "carol", "sid-3"), s, &own)
	if err != nil {
		t.Fatal(err)
	}
	r.wantLoad(own, session.ErrRotated)
	r.wantKnown(own, origin, nil)
	r.clock.Advance(2 * time.Minute)
	r.wantLoad(own, flows.ErrNotFound)
	r.wantKnown(own, origin, nil)
	if _, _, err := r.End(bg, s.ID(), flows.ReasonRevoked); err != nil {
		t.Fatal(err)
	}
	r.wantLoad(newer, session.ErrEnded)
	r.wantKnown(newer, origin, nil)
	r.wantKnown(lent, app, nil)
	r.clock.Advance(session.Tombstone)
	r.wantKnown(newer, origin, flows.ErrNotFound)
	r.wantLoad(idle, session.ErrEnded) // longer than its lifetime ago
	r.wantKnown(idle, origin, nil)
	r.clock.Advance(session.Tombstone)
	r.wantKnown(idle, origin, flows.ErrNotFound)
	r.wantLoad(idle, flows.ErrNotFound)
}
