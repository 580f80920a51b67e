package audit

import (
	"context"
	"fmt"
)

// SinkOptions are what every sink takes, whatever its type. A sink embeds them.
type SinkOptions struct {
	// What becomes of personal data on its way to this sink, by class (user, name,
	// address, email, attributes, path, content, detail): keep, truncate, hash or drop.
	Mask Masks `json:"mask,omitempty"`
	// What happens to who wants to get in while this sink takes no entry: deny (the
	// default: 503) or continue; the entry waits and is tried again, as far as there is room.
	OnError string `json:"on_error,omitempty"`
}

// The words of OnError.
const (
	Deny     = "deny"
	Continue = "continue"
)

// Options gives the hall and the front door access to the embedded options.
func (o *SinkOptions) Options() *SinkOptions { return o }

// Check refuses what there is not.
func (o *SinkOptions) Check() error {
	if o.OnError != "" && o.OnError != Deny && o.OnError != Continue {
		return fmt.Errorf("on_error is deny or continue, not '%s'", o.OnError)
	}
	if err := o.Mask.Check(); err != nil {
		return fmt.Errorf("mask: %w", err)
	}
	return nil
}

// Optioned is a sink together with its options, for NewTrail.
type Optioned struct {
	Sink
	SinkOptions
	Tokens Tokens
}

// Write masks the event first.
func (o *Optioned) Write(ctx context.Context, e Event) error {
	masked, err := o.Mask.Apply(ctx, e, o.Tokens)
	if err != nil {
		return err
	}
	return o.Sink.Write(ctx, masked)
}
