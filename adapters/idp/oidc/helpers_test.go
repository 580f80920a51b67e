package oidc

import (
	"errors"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func newOPKey(alg string, bare bool) *oidctest.Key {
	k := oidctest.NewKey(alg)
	k.Bare = bare
	return k
}

// authTime mints these claims; auth_time is in seconds from now, 0 for none.
func authTime(r *rig, claims map[string]any) oidctest.Mode {
	return oidctest.Mode{Mint: func(_ *oidctest.OP, t *oidctest.Token) {
		for k, v := range claims {
			t.Claims[k] = v
		}
		switch s, ok := claims["auth_time"].(int); {
		case ok && s == 0:
			delete(t.Claims, "auth_time")
		case ok:
			t.Claims["auth_time"] = r.reg.Now().Unix() + int64(s)
		}
	}}
}

func isInvalidGrant(err error) bool { return errors.Is(err, flows.ErrInvalidGrant) }

// fixed is a clock for what has no rig.
func fixed() time.Time { return flowstest.Start }

// yes is what a switch that is on points to.
var yes = true
