package oidc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// TestI23CheckAsksByItself: each check asks anew, also when the clock stands; what a
// login found out decides nothing.
func TestI23CheckAsksByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	check := func() error { return r.p.Check(t.Context()) }
	for range 2 {
		n := len(r.op.Calls())
		if err := check(); err != nil || len(r.op.Calls()) != n+2 {
			t.Fatalf("%v, %d calls", err, len(r.op.Calls())-n)
		}
	}
	r.p.src.suffer(errors.New("as a browser brought about"))
	if err := check(); err != nil || r.p.Health() == nil {
		t.Errorf("check: %v, health: %v", err, r.p.Health())
	}
	r.op.SetDown(true)
	if err := check(); err == nil || !strings.Contains(err.Error(), "discovery of "+r.op.Issuer) {
		t.Errorf("down: %v", err)
	}
	r.op.SetDown(false)
	r.op.SetKeysDown(true)
	if err := check(); err == nil || !strings.Contains(err.Error(), "keys of "+r.op.Issuer) {
		t.Errorf("keys down: %v", err)
	}
	r.op.SetKeysDown(false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := r.p.Check(ctx); err == nil {
		t.Error("it does not keep to its time")
	}
	var _ flows.Checker = r.p
}
