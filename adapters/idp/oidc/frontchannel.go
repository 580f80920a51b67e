package oidc

import (
	"context"
	"errors"

	"github.com/sallyport-gateway/sallyport/flows"
)

// leastSID is the shortest session id that a front-channel logout may name:
// whoever guesses one ends that login. Sixteen digits are 2^53 guesses, and
// what providers really send (UUIDs, 128-bit tokens) is far beyond it.
const leastSID = 16

// VerifyFrame checks the iss and sid of a front-channel logout (OIDC Front-Channel
// Logout 1.0 §2). Both may be missing there; we need both, because without them
// any page could end the sessions of whoever looks at it.
func (p *Provider) VerifyFrame(ctx context.Context, issuer, sid string) (string, error) {
	m, err := p.metadata(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case !m.Frames: // §3: false when it is left out
		return "", invalid(errors.New("discovery does not say frontchannel_logout_supported"))
	case !p.issues(m, issuer) && (issuer != "" || !p.as.frameless):
		return "", invalid(errors.New("iss is missing or another issuer's"))
	case len(sid) < leastSID:
		return "", invalidf("sid is missing, or shorter than %d bytes and so could be guessed", leastSID)
	case len(sid) > 255:
		return "", invalid(errors.New("sid is longer than 255 bytes"))
	}
	u, err := issuerURL(p.issuer)
	if err != nil {
		return "", flows.Refuse(flows.ReasonInternal, err)
	}
	return u.Scheme + "://" + u.Host, nil
}
