package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Execution is one run of one flow. It is a serialisable value: any node
// continues it, a test builds it by hand. It moves forward only from where it waits (I28).
type Execution struct {
	// ID is random; it names the run on pages and in the audit trail.
	ID string `json:"id"`
	// Flow and Digest say what is run; another digest restarts it (I28).
	Flow   string `json:"flow"`
	Digest string `json:"digest"`
	// PC is the next operation of the Program; Wait is set while a person or provider is awaited.
	PC     int   `json:"pc,omitempty"`
	Wait   *Wait `json:"wait,omitempty"`
	Serial int   `json:"serial,omitempty"`
	// Token must come back with every form of this run (I11).
	Token string `json:"token"`
	// Origin is the scheme and host the run belongs to; ReturnTo a path on it, or on
	// the portal an address of the application that Hop tells of.
	Origin   string `json:"origin"`
	ReturnTo string `json:"return_to,omitempty"`
	// Saved says that the return address waits in the browser's session storage under
	// this key, since it is too long to travel (B05) or has a fragment (B10).
	Saved   string  `json:"saved,omitempty"`
	Request Request `json:"request"`
	// Provider is the one asked for by ?provider=; only a wish.
	Provider string `json:"provider,omitempty"`
	// Hint is the login_hint of whoever began the login (OIDC Core §4).
	Hint string `json:"hint,omitempty"`
	// Attempt counts logins begun in a row without a session (B08).
	Attempt int       `json:"attempt,omitempty"`
	Started time.Time `json:"started"`
	Expires time.Time `json:"expires"`

	User     *User              `json:"user,omitempty"`
	Evidence []Evidence         `json:"evidence,omitempty"`
	Readings map[string]Reading `json:"readings,omitempty"`
	// Risk is what the risk steps made of the readings; nil: no risk was read.
	Risk *Risk `json:"risk,omitempty"`
	// Grants are what providers handed over with their proofs, for logout and refresh.
	Grants []Grant `json:"grants,omitempty"`
	// NotAfter ends the session early, as that of a Proof does, where a provider vouched
	// and handed over nothing.
	NotAfter time.Time `json:"not_after,omitzero"`
	// Inherited says that user and evidence are a session's and nothing was added since.
	Inherited bool `json:"inherited,omitempty"`
	// Fresh says that evidence of the session does not count: the person is asked anew.
	Fresh bool `json:"fresh,omitempty"`
	// Since makes a run ask anew: a factor that was proved before, or set up just now,
	// does not count in it. Zero: whatever the session shows counts.
	Since time.Time `json:"since,omitzero"`
	// Rose is when the risk of the session became higher than its flow had found it: a
	// factor that was proved before, or set up just now, does not count. A login does.
	Rose time.Time `json:"rose,omitzero"`
	// Show is what the run is for, where it is bound to one request: the fields that the
	// person reads before they approve it.
	Show []Row `json:"show,omitempty"`
	// Action is set in a run that changes something of the person's account, and then
	// ends with that instead of a session.
	Action *Action `json:"action,omitempty"`
	// StepUp is set in a run that ends with, or leads to, a proof for a `step_up`.
	StepUp *StepUp `json:"step_up,omitempty"`
	// Language is that of the pages (BCP 47).
	Language string `json:"language,omitempty"`
	// Hop is set on the portal, in a run for an application's host.
	Hop *Hop `json:"hop,omitempty"`
	// Event is what started the run, where it was no request.
	Event *Event `json:"event,omitempty"`
	// Session is the public id of the session this run stands on; empty without one.
	Session string `json:"session,omitempty"`
	// Stored marks the stub that a browser carries of a run that is kept in the store.
	Stored bool `json:"stored,omitempty"`
	// Guarded keeps the run in the store whoever it belongs to: an older copy of its
	// private state would be worth something to its owner (I08).
	Guarded bool `json:"guarded,omitempty"`
	// Private is the state of waiting steps, by operation.
	Private map[int]json.RawMessage `json:"private,omitempty"`
	// Marks are consumed before anything is granted (I09).
	Marks []Mark `json:"marks,omitempty"`
	// Drill makes a provider count as down in this run, which must end as its user.
	Drill *Drill `json:"drill,omitempty"`

	// Env is what the hall lends for this one advance; never serialised.
	Env Env `json:"-"`
	// Proved is the hall's judgement at the end of a run: all it asked for was proved in it.
	Proved bool `json:"-"`
}

// StepUp is what a `step_up` asks of somebody who is signed in.
type StepUp struct {
	// Flow is the one that proves it. In a login that must come first (nothing is
	// enrolled yet) it is run behind that.
	Flow string `json:"flow"`
	// Approval is the id of the request that is approved with it; empty: none is.
	Approval string `json:"approval,omitempty"`
}

// Hop says for which application's host a run on the portal is: the session it
// ends with is handed over there, to the browser that holds this pending login.
type Hop struct {
	Origin  string `json:"origin"`
	Pending string `json:"pending"`
	Nonce   string `json:"nonce"`
	// Saved is the key under which the browser keeps the return address there.
	Saved string `json:"saved,omitempty"`
}

// Event is something that happened to a person and started a flow.
type Event struct {
	// ID finds it in the trail; Kind is that of the trail's entry.
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Time time.Time `json:"time"`
	// Reason is why a session ended or a login was refused.
	Reason Reason `json:"reason,omitempty"`
	// Factor, Item and Session are those of the trail's entry.
	Factor  string `json:"factor,omitempty"`
	Item    string `json:"item,omitempty"`
	Session string `json:"session,omitempty"`
}

// Wait names the step an Execution waits at and the serial its page carries.
type Wait struct {
	Step   int `json:"step"`
	Serial int `json:"serial"`
	// Page is shown again as it was; showing it runs nothing (I28). Nil while a provider is awaited.
	Page *Page `json:"-"`
}

// Grant is what came with one provider's proof.
type Grant struct {
	Provider string    `json:"provider"`
	Issuer   string    `json:"issuer,omitempty"`
	SID      string    `json:"sid,omitempty"`
	Tokens   []byte    `json:"tokens,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	// At is when it came, Stale when the provider wants to be asked anew; zero: never.
	At    time.Time `json:"at,omitzero"`
	Stale time.Time `json:"stale,omitzero"`
	// LogoutKeys are those of the Proof.
	LogoutKeys []string `json:"logout_keys,omitempty"`
	// Attributes are the names of the user's attributes that came with it.
	Attributes []string `json:"attributes,omitempty"`
}

// Env is what the hall lends an Execution while it advances.
type Env struct {
	Now time.Time
	// CallbackURL is the absolute redirect URI of a provider on this origin.
	CallbackURL func(provider string) string
	// Handle makes the sealed state that finds this pending login again (B06).
	Handle func(provider string, serial int) (string, error)
	// Request is the request at hand: its headers and address.
	Request *Request
	// Locate answers where an address is; nil: no signal knows places.
	Locate func(ip string) Place
	// Asked is the provider that was asked last, for the trail: steps set it.
	Asked string
	// Tried is the login name that was typed last, for counters: steps set it.
	Tried string
	// Cause is what a directory told of refused credentials, for counters and the log:
	// steps set it.
	Cause *CredentialsError
	// Enrolments are the factors of people, Devices the browsers that they trust, Holders
	// whose their passkeys are.
	Enrolments Enrolments
	Devices    Devices
	Holders    Holders
	// Arrived is a verified answer that its provider began by itself: the login step
	// finishes with it instead of beginning anew. Nil otherwise.
	Arrived *Callback
	// Client is the program whose run this is; nil: there is somebody to ask.
	Client *Client
	// Down reports whether a provider is down, as the hall's own checks say, or the drill
	// of the run while it lasts. Nothing else starts a fallback (I23).
	Down func(p *Provider) bool
	// MayEnter is asked of whoever becomes known, and again whenever the run goes on: an
	// error ends it. Nil: everybody may.
	MayEnter func(context.Context, UserKey) error
	// Trail tells of a deed before a step does it; an error means that it must not be done (I25).
	Trail func(context.Context, Deed) error
	// Last is the provider that the person last signed in with in this browser; "": unknown.
	// It is only a wish.
	Last string
	// Device is the id of a known device the browser showed for a user; "" for none (B27).
	Device func(name string) string
	// Browser tells what is known of the device behind the request, and of a person's
	// use of it; nil of them: nobody is known yet.
	Browser func(u *User) DeviceFacts
	// Learned answers what a signal noted of a person; nothing is no error.
	Learned func(ctx context.Context, user UserKey, signal string) (json.RawMessage, error)
	// Unread hears of a signal that failed; it may be called concurrently.
	Unread func(signal string, err error)
	// Said are, in a run that is only thought through, what signals say, by name.
	Said map[string]Reading
	// Given are, in a run that is only thought through, what directories answer, by name.
	Given map[string]Finding
	// Offline is such a run in which nobody outside is asked.
	Offline bool
}

// Finding is what somebody says a directory would answer: nobody, or the attributes.
type Finding struct {
	Attributes Attributes
	Err        error
}

// Facts are what conditions of this run may look at.
func (x *Execution) Facts() *Facts {
	r := x.Request
	if x.Env.Request != nil {
		r.Header, r.IP, r.Peer, r.Native = x.Env.Request.Header, x.Env.Request.IP, x.Env.Request.Peer, x.Env.Request.Native
		r.Trusted = x.Env.Request.Trusted
	}
	f := &Facts{Request: &r, User: x.User, Evidence: x.Evidence, Readings: x.Readings, Risk: x.Risk, Locate: x.Env.Locate, Now: x.Env.Now}
	if x.Env.Browser != nil {
		f.Device = x.Env.Browser(x.User)
	}
	return f
}

// Honours reports whether evidence says in this run how the person signed in.
func (x *Execution) Honours(e *Evidence) bool {
	return e.Counts() && (!x.Anew() || e.Kind != EnrolledNow && e.At.After(x.Since) && e.At.After(x.Rose))
}

// Anew reports whether a factor must be proved in this run, whatever the session shows.
func (x *Execution) Anew() bool { return !x.Since.IsZero() || !x.Rose.IsZero() }

// Gained are the proofs of this run that were not in the session it stands on.
func (x *Execution) Gained(session []Evidence) []Evidence {
	var out []Evidence
	for i := range x.Evidence {
		if e := &x.Evidence[i]; !slices.ContainsFunc(session, func(o Evidence) bool {
			return o.Provider == e.Provider && o.Method == e.Method && o.Kind == e.Kind && o.At.Equal(e.At)
		}) {
			out = append(out, *e)
		}
	}
	return out
}

// Proves reports whether what a run gained proves again who is there. Neither trust
// in a device nor a fallback does, and a factor that was set up in it only together
// with a proof of one that was there before, or was asked for once more (I03).
func Proves(gained []Evidence) bool {
	var login, factor, enrolled bool
	for i := range gained {
		switch e := &gained[i]; {
		case e.Kind == DeviceTrust:
			return false
		case e.Kind == EnrolledNow:
			enrolled = true
		case e.Kind == Direct && e.Provider == "":
			factor = true
		case e.Kind == Direct:
			login = true
		}
	}
	return factor || login && !enrolled
}

// Keep stores the private state of the step that is about to wait.
func (x *Execution) Keep(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keeping step state: %w", err)
	}
	if x.Private == nil {
		x.Private = map[int]json.RawMessage{}
	}
	x.Private[x.PC] = b
	return nil
}

// Kept reads what Keep stored for the running step; false if nothing was.
func (x *Execution) Kept(v any) (bool, error) {
	b, ok := x.Private[x.PC]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("reading step state: %w", err)
	}
	return true, nil
}

// Restart goes back to the first step and keeps only where the person wanted
// to go: used when the digest changed (I28).
func (x *Execution) Restart(digest string) {
	x.Digest, x.PC, x.Wait, x.Private = digest, 0, nil, nil
	x.User, x.Evidence, x.Readings, x.Risk, x.Grants, x.Marks = nil, nil, nil, nil, nil, nil
	x.NotAfter = time.Time{}
	x.Inherited, x.Session, x.Guarded = false, "", false
}

// Finished is an Execution that reached the end of its flow. Only the engine
// makes one, so a session cannot be made from anything less (I27).
type Finished struct{ x *Execution }

// Execution returns the finished run; nil for a zero Finished, which grants nothing.
func (f Finished) Execution() *Execution { return f.x }
