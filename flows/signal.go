package flows

import (
	"context"
	"encoding/json"
	"time"
)

// Signal is a guest `identity.signals.*`: one thing that is usual for a person, or is
// not. One value serves everybody concurrently.
type Signal interface {
	// Read answers a score from 0 (as always) to 100. learned is what a Learner noted of
	// this person before; nil: nothing. It changes nothing (I26). What cannot be known is
	// a Reading that is Unknown; an error is one, too, and is logged.
	Read(ctx context.Context, f *Facts, learned json.RawMessage) (Reading, error)
}

// Learner is a Signal that learns what is usual for a person. What it notes is a part
// of the person's profile: of what they can download, and of what is erased with them.
type Learner interface {
	Signal
	// Learn answers what is kept of a person after a login or step-up of theirs: at most
	// MaxLearned bytes. It is pure and may run again (I16).
	Learn(f *Facts, learned json.RawMessage) (json.RawMessage, error)
}

// MaxLearned is how many bytes one signal may keep of one person; a longer note is
// not kept, and logged.
const MaxLearned = 2048

// Reporter is a Signal that is told what came of a login or step-up. The hall queues
// what it is told, and tries again when ErrUnavailable comes back.
type Reporter interface {
	Signal
	Report(ctx context.Context, r *Report) error
}

// Report is what came of a login or step-up.
type Report struct {
	// ID finds it in the trail; Kind is that of the trail's entry.
	ID   string    `json:"id"`
	Kind string    `json:"kind"`
	Time time.Time `json:"time"`
	// Granted tells whether it went well; Reason is why not.
	Granted bool   `json:"granted"`
	Reason  Reason `json:"reason,omitempty"`
	// User is who it is about; empty where nobody proved to be anybody. Name is then
	// the one that was typed.
	User UserKey `json:"user,omitempty"`
	Name string  `json:"name,omitempty"`
	// IP is the address it came from.
	IP string `json:"ip,omitempty"`
	// Ref is that of this signal's Reading, in the same run.
	Ref string `json:"ref,omitempty"`
}

// SignalOptions are what every signal takes, whatever its type. A signal guest embeds
// them.
type SignalOptions struct {
	// Unknown is the score that counts where the signal does not know, 0 to 100; default 50.
	Unknown *int `json:"unknown,omitempty"`
}

// UnknownScore is Unknown, or its default.
func (o *SignalOptions) UnknownScore() int {
	if o.Unknown == nil {
		return 50
	}
	return *o.Unknown
}

// Place is where an address is, as far as it is known.
type Place struct {
	// Country is an ISO 3166-1 code ("FR"), City a name in English; "": unknown.
	Country, City string
	// ASN is the number of the network; 0: unknown.
	ASN uint
	// Latitude and Longitude are in degrees, within Radius kilometres; Placed tells
	// whether they are known.
	Latitude, Longitude float64
	Radius              uint
	Placed              bool
}

// Locator is a Signal that knows where addresses are.
type Locator interface {
	Signal
	// Locate answers the place of an address; false: unknown, as private ones are.
	Locate(ip string) (Place, bool)
}
