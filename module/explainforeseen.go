package module

import (
	"context"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// foreseenFactors are the factors that were given, or those that the store knows.
type foreseenFactors struct{ e *explaining }

// List answers them.
func (f foreseenFactors) List(ctx context.Context, user flows.UserKey) ([]flows.Record, error) {
	c := f.e.c
	if c.Factors == nil && f.e.stored {
		return f.e.app.recordsOf(ctx, user)
	}
	var list []flows.Record
	for _, kind := range c.Factors {
		list = append(list, flows.Record{ID: kind, Factor: kind, Created: f.e.now})
	}
	return list, nil
}

// Add adds nothing.
func (foreseenFactors) Add(context.Context, *flows.User, flows.Record) error { return errThinking }

// Use notes nothing.
func (foreseenFactors) Use(context.Context, flows.UserKey, string, func(flows.Record) (flows.Record, error)) error {
	return errThinking
}

// Reserve counts nothing.
func (foreseenFactors) Reserve(context.Context, flows.UserKey, string) (time.Duration, error) {
	return 0, errThinking
}

// Proved forgets nothing.
func (foreseenFactors) Proved(context.Context, flows.UserKey, string) error { return errThinking }

// foreseenDevices is the browser as it was described.
type foreseenDevices struct{ e *explaining }

// Trusted answers it, if it is.
func (d foreseenDevices) Trusted(ctx context.Context, u *flows.User, _ []flows.Evidence) (flows.TrustedDevice, error) {
	is := d.e.c.Device
	if !is.Trusted {
		return flows.TrustedDevice{}, flows.ErrNotFound
	}
	if is.Factor == "" {
		own, err := foreseenFactors(d).List(ctx, u.Key)
		if err != nil {
			return flows.TrustedDevice{}, err
		}
		if len(own) == 0 {
			return flows.TrustedDevice{}, flows.ErrNotFound
		}
		is.Factor = own[0].Factor
	}
	return flows.TrustedDevice{ID: explainedID, Factor: is.Factor, Proved: d.e.now.Add(-time.Duration(is.Age))}, nil
}

// Trust keeps nothing.
func (foreseenDevices) Trust(context.Context, *flows.User, []flows.Evidence, string, time.Duration) error {
	return errThinking
}

var (
	_ flows.Enrolments = foreseenFactors{}
	_ flows.Devices    = foreseenDevices{}
)
