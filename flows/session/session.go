package session

import (
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Card is what is known of a session without its ticket: enough to list,
// revoke, sweep and log out. It is sealed by the cluster key (I14).
type Card struct {
	// ID is the public id.
	ID       string        `json:"id"`
	User     flows.UserKey `json:"user"`
	Name     string        `json:"name,omitempty"`
	Provider string        `json:"provider,omitempty"`
	// SIDs are provider → session id there, for single logout.
	SIDs map[string]string `json:"sids,omitempty"`
	// LogoutKeys are provider → other names under which it may end the session.
	LogoutKeys map[string][]string `json:"logout_keys,omitempty"`
	// Flows completed: name → when and with which digest (I01).
	Flows   map[string]Done `json:"flows"`
	Started time.Time       `json:"started"`
	Seen    time.Time       `json:"seen"`
	Expires time.Time       `json:"expires"`
	Idle    time.Duration   `json:"idle"`
	IP      string          `json:"ip,omitempty"`
	Agent   string          `json:"agent,omitempty"`
	Origins []string        `json:"origins,omitempty"`
	// Rotation counts how often evidence was added, RotatedAt is when it last was:
	// tickets that were lent before are replaced (I13).
	Rotation  int       `json:"rotation,omitempty"`
	RotatedAt time.Time `json:"rotated_at,omitzero"`
	// CallOuts are ids of the applications to tell when the session ends.
	CallOuts []string `json:"call_outs,omitempty"`
	// Ended is set on a tombstone, with the reason.
	Ended  time.Time    `json:"ended,omitzero"`
	Reason flows.Reason `json:"reason,omitempty"`
}

// Done says when a flow was completed, and what it was then.
type Done struct {
	Digest string    `json:"digest"`
	At     time.Time `json:"at"`
	// Proved is when it was last completed with proofs of its own run alone.
	Proved time.Time `json:"proved,omitzero"`
}

// body is what only the ticket opens (I14).
type body struct {
	User     *flows.User              `json:"user"`
	Evidence []flows.Evidence         `json:"evidence"`
	Grants   []flows.Grant            `json:"grants,omitempty"`
	Readings map[string]flows.Reading `json:"readings,omitempty"`
}

// Session is a loaded session. Everything but the activity clock is immutable:
// a change makes another Session.
type Session struct {
	Card     Card
	User     *flows.User
	Evidence []flows.Evidence
	Grants   []flows.Grant
	Readings map[string]flows.Reading
	// Origin is the one this ticket was made for, or the audience of several.
	Origin string
	// Facts are what policies see; prepared once.
	Facts flows.SessionFacts

	dataKey []byte
	// row names the ticket's row in the store.
	row Row
	// lent and rotation are the ticket's own.
	lent     bool
	rotation int
	// shared is the activity of all values of the session on a node: whichever host
	// is used, the session is. own stands in for a value that nobody prepared.
	shared *activity
	own    activity
	// due is when a grant is to be renewed, stale when the first one runs out; both unix nanoseconds.
	due   atomic.Int64
	stale int64
	// Local is the hall's own: prepared headers, open streams.
	Local any
}

// activity is when a session was used: seen is the newest, written the one in the
// store; both unix nanoseconds.
type activity struct{ seen, written atomic.Int64 }

func (s *Session) used() *activity {
	if s.shared != nil {
		return s.shared
	}
	return &s.own
}

// ID is the public id.
func (s *Session) ID() string { return s.Card.ID }

// Seen is the newest activity.
func (s *Session) Seen() time.Time { return time.Unix(0, s.used().seen.Load()) }

// Alive reports whether neither limit has passed.
func (s *Session) Alive(now time.Time) bool {
	return now.Before(s.Card.Expires) && now.UnixNano()-s.used().seen.Load() < int64(s.Card.Idle)
}

// Left is how long the session lasts if nothing more happens.
func (s *Session) Left(now time.Time) time.Duration {
	return max(min(s.Card.Expires.Sub(now), s.Seen().Add(s.Card.Idle).Sub(now)), 0)
}

// touchEvery is how often activity is written to the store: a tenth of the idle time,
// at most a minute.
func (s *Session) touchEvery() time.Duration { return min(s.Card.Idle/10, time.Minute) }

// Active notes activity and reports whether it is due to be written (B17). It
// answers true to one caller only.
func (s *Session) Active(now time.Time) bool {
	n, a := now.UnixNano(), s.used()
	raise(&a.seen, n)
	w := a.written.Load()
	return n-w >= int64(s.touchEvery()) && a.written.CompareAndSwap(w, n)
}

// Finished reports whether the session completed a flow, and when (I01).
func (s *Session) Finished(flow string) (time.Time, bool) {
	d, ok := s.Card.Flows[flow]
	return d.At, ok
}

// Sketch is a session that exists nowhere: explaining judges by it. Nothing can be
// written of it, since no ticket and no row belong to it.
func Sketch(c Card, u *flows.User, evidence []flows.Evidence, readings map[string]flows.Reading) *Session {
	s := &Session{Card: c, User: u, Evidence: evidence, Readings: readings}
	s.prepare()
	return s
}

func (s *Session) prepare() {
	s.Facts = flows.SessionFacts{
		ID: s.Card.ID, Started: s.Card.Started, Seen: s.Card.Seen, Expires: s.Card.Expires,
		Provider: s.Card.Provider, SID: s.Card.SIDs[s.Card.Provider], Flows: map[string]string{},
	}
	for f, d := range s.Card.Flows {
		s.Facts.Flows[f] = d.Digest
		if d.Proved.IsZero() {
			continue
		}
		if s.Facts.Proved == nil {
			s.Facts.Proved = map[string]time.Time{}
		}
		s.Facts.Proved[f] = d.Proved
	}
	s.shared = new(activity)
	s.shared.seen.Store(s.Card.Seen.UnixNano())
	s.shared.written.Store(s.Card.Seen.UnixNano())
	s.schedule()
}
