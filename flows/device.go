package flows

import (
	"context"
	"time"
)

// TrustedDevice is a browser in which a person wants not to be asked for a factor
// again for some time. It is a record of theirs, kept on the server.
type TrustedDevice struct {
	// ID is the public one.
	ID string
	// Factor is the kind that was proved in it, Proved when that was.
	Factor string
	Proved time.Time
}

// Devices are the trusted devices of people. The hall lends them to an advance,
// which knows the browser.
type Devices interface {
	// Trusted answers the record of this browser for a person, as long as none of
	// their factors changed since, nor the password that the evidence is of (I24).
	// ErrNotFound: there is none.
	Trusted(ctx context.Context, u *User, evidence []Evidence) (TrustedDevice, error)
	// Trust makes one, for so long, of a browser in which a factor was proved just
	// now; the trail is written first (I25).
	Trust(ctx context.Context, u *User, evidence []Evidence, factor string, keep time.Duration) error
}
