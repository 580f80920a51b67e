package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// said are the readings of a session whose flow is not run: as they were written, and
// where that says no weight, weighed as the steps of the flow do.
func (e *explaining) said(steps []flows.Step) (map[string]flows.Reading, *flows.Risk) {
	if e.c.Readings == nil {
		return nil, nil
	}
	weights, f := flows.Weights(steps)
	out := map[string]flows.Reading{}
	for name, r := range e.c.Readings {
		if w, ok := weights[name]; r.Weight == 0 && ok {
			r.Weight, r.Observed = w.Weight, w.Observed
		} else if r.Weight == 0 {
			r.Weight = flows.MaxWeight
		}
		if s := e.app.signals[name]; r.Unknown && r.Score == 0 && s != nil {
			r.Score = s.Options().UnknownScore()
		}
		r.Contribution = f.Contribution(r)
		out[name] = r
	}
	return out, f.Assessed(out)
}

// learned is what a signal noted of the person, where the store may be asked.
func (e *explaining) learned(ctx context.Context, user flows.UserKey, signal string) (json.RawMessage, error) {
	if !e.stored {
		return nil, nil
	}
	return e.app.noted(ctx, user, signal)
}

// enrolled notes the factors of the person.
func (e *explaining) enrolled(ctx context.Context, u *flows.User) error {
	own, err := foreseenFactors{e}.List(ctx, u.Key)
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	e.out.User = new(ExplainedUser)
	for _, r := range own {
		if e.app.factors[r.Factor] == nil && e.c.Factors != nil {
			return fmt.Errorf("factors: no factor '%s' is configured; there are: %s", r.Factor, strings.Join(orderOf(nil, e.app.factors), ", "))
		}
		if !slices.Contains(e.out.User.Enrolled, r.Factor) {
			e.out.User.Enrolled = append(e.out.User.Enrolled, r.Factor)
		}
	}
	e.person(u)
	return nil
}

// ownAMR are the method references of our own factors.
var ownAMR = map[string][]string{"totp": {"otp"}, "recovery": {"otp"}, "email": {"otp"}, "sms": {"otp", "sms"}, "webauthn": {"hwk"}}

// evidence is what was proved, as written; without anything, a sign-in of just now.
func (e *explaining) evidence(u *flows.User) ([]flows.Evidence, error) {
	given := e.c.Evidence
	if given == nil {
		given = []ExplainEvidence{{}}
	}
	var list []flows.Evidence
	for _, g := range given {
		own := g.Provider == "" && e.app.factors[g.Method] != nil
		ev := flows.Evidence{User: u.Key, Provider: g.Provider, Method: g.Method, AMR: g.AMR, ACR: g.ACR, At: e.now.Add(-time.Duration(g.Age)), Kind: g.Kind}
		switch g.Kind {
		case flows.Direct, flows.Fallback, flows.EnrolledNow, flows.DeviceTrust, flows.IDPInitiated:
		default:
			return nil, fmt.Errorf("evidence: kind is fallback, enrolled_now, device_trust or idp_initiated, not '%s'", g.Kind)
		}
		switch {
		case own && g.AMR == nil:
			ev.AMR = slices.Clone(ownAMR[g.Method])
			if len(list) > 0 {
				ev.AMR = append(ev.AMR, "mfa")
			}
		case !own && g.Provider == "" && g.Kind != flows.DeviceTrust:
			ev.Provider = u.Provider
		}
		if p := e.app.called(ev.Provider); !own && ev.Method == "" && p != nil {
			ev.Method = methodOf(p)
		}
		list = append(list, ev)
	}
	return list, nil
}

// methodOf is how a provider's evidence says people sign in there.
func methodOf(p *flows.Provider) string {
	if _, ok := p.Guest.(flows.PasswordVerifier); ok {
		return "password"
	}
	return p.Type
}
