package flows

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Factor is a guest `identity.factors.*`: something that a person is asked to
// prove in addition. One value serves everybody concurrently; what belongs to a
// person is kept in Records, what belongs to one try in the Challenge.
type Factor interface {
	// Labels are the codes of the buttons that choose it for a proof, and for setting it up.
	Labels() (use, setUp string)
	// Begin starts a challenge and may send something, once: it sets c.State. Showing
	// the page again does not call it (I28). That something could not be sent is no
	// error: Draw says so, beside the ways of the page's others.
	Begin(ctx context.Context, c *Challenge) error
	// Draw is the page of a challenge; it changes and sends nothing.
	Draw(c *Challenge) Page
	// Verify judges an answer. The try was counted before (I08). ErrCredentials is a
	// wrong answer: the page is shown again, with what State became, and says the Reason
	// of a Refusal around it.
	Verify(ctx context.Context, c *Challenge, in Input) (Verdict, error)
}

// Enroller is a Factor that a person can set up by themselves.
type Enroller interface {
	Factor
	// BeginEnrol makes what is to be set up: it sets c.State.
	BeginEnrol(ctx context.Context, c *Challenge) error
	// DrawEnrol is the page of that; it changes and sends nothing.
	DrawEnrol(c *Challenge) Page
	// Enrol answers the record to be kept (ID and Created are the caller's) and the AMR of
	// the proof that came with it. ErrCredentials: the answer shows that it was not set
	// up well; the page is shown again.
	Enrol(ctx context.Context, c *Challenge, in Input) (Record, []string, error)
}

// Spare is an Enroller that only stands in for others: it is set up once another
// factor is, and never alone (recovery codes).
type Spare interface {
	Enroller
	Spare()
}

// Passkey is the name under which a login names the passkeys of people, beside its
// providers: `login entra passkey`. No provider is called so.
const Passkey = "passkey"

// Passkeys is a Factor whose proof can say who a person is, too. Then a Challenge
// begins without a User, Holder finds them, and Verify gets them and their Records.
type Passkeys interface {
	Factor
	// Holder is the handle (Record.Handle) that an answer names; nothing of it is verified.
	// False: there is no answer of a key at all.
	Holder(in Input) (handle string, there bool)
}

// Holders finds people by what their passkeys know of them. The hall lends it to an
// advance.
type Holders interface {
	// Holder answers whose a handle is, and how and when a provider last vouched for
	// them. ErrNotFound: nobody's.
	Holder(ctx context.Context, handle string) (u *User, vouched time.Time, err error)
}

// Implied is a Factor that needs no enrolment where somebody vouches for the person's
// address.
type Implied interface {
	Factor
	// Imply answers the records that a person has without having set anything up. They
	// are kept nowhere: their proofs have no Use.
	Imply(u *User) []Record
}

// Sender is a Factor that sends something. Asking for it anew is no try at a proof,
// and is not counted as one.
type Sender interface {
	Factor
	// Resend takes the wish to have it sent again; false: in is none. What came of it
	// is on the page.
	Resend(ctx context.Context, c *Challenge, in Input) (bool, error)
}

// Challenge is one try of one person at one factor.
type Challenge struct {
	// User is nil where a passkey is to say who it is.
	User *User
	// Records are the person's enrolments of this factor, also while one more is set up.
	Records []Record
	// State is the factor's own. It stays on the server: an older copy of it would be
	// worth something to its owner (I08).
	State json.RawMessage
	// Origin is the scheme and host of the page.
	Origin string
	// Language is the one of the page (BCP 47), for what is sent.
	Language string
	// Show is what the proof is for, where it is bound to something: it is on the page
	// and belongs into a message.
	Show []Row
	Now  time.Time
}

// Keep stores the factor's own state of this challenge.
func (c *Challenge) Keep(v any) error {
	b, err := json.Marshal(v)
	c.State = b
	return err
}

// Kept reads what Keep stored.
func (c *Challenge) Kept(v any) error { return json.Unmarshal(c.State, v) }

// Verdict is the answer to a right proof.
type Verdict struct {
	// Record is the id of the one that was proved.
	Record string
	// Use is applied to that record in one atomic step before anything is granted: it
	// notes a counter, strikes a code. ErrReplayed: somebody was first (I09). It is
	// pure and may run again; nil: there is nothing to note.
	Use func(old Record) (Record, error)
	// AMR are the method references (RFC 8176) of this proof.
	AMR []string
	// Again: nothing was proved and nothing was wrong; show the page anew (resend).
	Again bool
}

// ErrReplayed says that a proof was right once and was used already.
var ErrReplayed = errors.New("used already")

// Record is one enrolled factor of one person.
type Record struct {
	ID string `json:"id"`
	// Factor is its kind: "totp".
	Factor string `json:"factor"`
	// Handle is by what its owner is found where it says who they are (Passkeys): random,
	// one a person, and never their key. Empty for most factors.
	Handle string `json:"handle,omitempty"`
	// Name is what the person calls it; may be empty.
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	// Used is when it was last proved; zero: never.
	Used time.Time `json:"used,omitzero"`
	// Data is the factor's own.
	Data json.RawMessage `json:"data"`
	// First asks [Enrolments.Add] to keep it only where there is none.
	First bool `json:"-"`
}

// Enrolments are the factors of people. The hall lends them to an advance: it
// writes the trail before a record is made (I25) and counts tries where all
// nodes see them.
type Enrolments interface {
	// List answers a person's records, the one used last first.
	List(ctx context.Context, user UserKey) ([]Record, error)
	// Add keeps a new record; the trail was written first. ErrExists: it was to be the
	// first, and is not.
	Add(ctx context.Context, u *User, r Record) error
	// Use changes a record in one atomic step and notes when it was used.
	// ErrNotFound: it was removed meanwhile.
	Use(ctx context.Context, user UserKey, id string, fn func(Record) (Record, error)) error
	// Reserve counts one try at a factor before it is checked; a positive wait means
	// that it must not be checked, and nothing was counted. All nodes count together.
	Reserve(ctx context.Context, user UserKey, factor string) (wait time.Duration, err error)
	// Proved forgets the counted tries: the answer was right.
	Proved(ctx context.Context, user UserKey, factor string) error
}

// The limits of tries at a factor (M2): five, then each further one waits twice
// as long, a quarter of an hour at most. MaxTries wrong ones in a row, whenever
// they came, lock it for as long as the count is kept: NIST SP 800-63B §5.2.2 allows 100.
var LimitFactor = Limits{Free: 5, Window: 15 * time.Minute, Longest: 15 * time.Minute}

// MaxTries is how many wrong answers in a row a factor takes at all.
const MaxTries = 50

// Tally counts tries of one person at one factor.
type Tally struct {
	Count int       `json:"count"` // within the window
	Total int       `json:"total"` // in a row
	Last  time.Time `json:"last"`
	Until time.Time `json:"until,omitzero"`
}

// Reserve counts one try, or answers how long to wait before the next.
func (t Tally) Reserve(l Limits, now time.Time) (Tally, time.Duration) {
	if t.Total >= MaxTries {
		return t, l.Longest
	}
	if wait := t.Until.Sub(now); wait > 0 {
		return t, wait
	}
	since := t.Last
	if t.Until.After(since) {
		since = t.Until
	}
	if now.Sub(since) > l.Window {
		t.Count, t.Until = 0, time.Time{}
	}
	t.Count, t.Total, t.Last = t.Count+1, t.Total+1, now
	if over := t.Count - l.Free; over >= 0 {
		t.Until = now.Add(min(time.Second<<min(over, 30), l.Longest))
	}
	return t, 0
}
