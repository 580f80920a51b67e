package flows

import (
	"maps"
	"slices"
	"time"
)

// Derived is an attribute that a step of a flow gave, not a provider. A renewal
// of the provider's claims leaves it; one with an expression is worked out anew,
// or who lost a group would keep what was concluded from it (O11).
type Derived struct {
	Name string `json:"name"`
	// CEL is what it is worked out by; empty: the value stays.
	CEL string `json:"cel,omitempty"`
	// Directory is the one that it was looked up in, and that vouches for it; empty:
	// nobody does.
	Directory string `json:"directory,omitempty"`
	// Source is the file and line of the step.
	Source string `json:"source,omitempty"`
}

// renewLead is how long before its end a login is renewed beside the requests:
// so long, or a tenth of its life if that is less.
const renewLead = time.Minute

// Renewable reports whether the provider can be asked anew for this grant.
func (g *Grant) Renewable() bool { return !g.Stale.IsZero() && len(g.Tokens) > 0 }

// Renew is from when it is asked, while the old word still holds.
func (g *Grant) Renew() time.Time {
	lead := renewLead
	if life := g.Stale.Sub(g.At) / 10; !g.At.IsZero() && life < lead {
		lead = max(life, 0)
	}
	return g.Stale.Add(-lead)
}

// Granted is what a session keeps of a provider's proof.
func Granted(p Proof, provider string, now time.Time) Grant {
	return Grant{
		Provider: provider, Issuer: p.Issuer, SID: p.SID, LogoutKeys: p.LogoutKeys, Tokens: p.Tokens, NotAfter: p.NotAfter, At: now, Stale: p.Stale,
		Attributes: slices.Sorted(maps.Keys(p.User.Attributes)),
	}
}

// Renewed is the person after the provider of a grant said anew what it knows of
// them; rest are the session's other grants. What it no longer says is no longer
// so: a group that is missing is a group that was lost. Only a missing name is
// kept: it says who somebody is, and that is the same person. What steps gave is
// untouched.
func (u *User) Renewed(fresh *User, g Grant, rest []Grant) *User {
	n := *u
	own := u.Provider == g.Provider // the latest to speak in the flow has the last word
	if own {
		n.DisplayName, n.Email, n.Groups, n.Claims = fresh.DisplayName, fresh.Email, fresh.Groups, fresh.Claims
		if fresh.Name != "" {
			n.Name = fresh.Name
		}
	}
	others := map[string]bool{}
	for _, d := range u.Derived {
		others[d.Name] = true
	}
	for _, r := range rest {
		for _, name := range r.Attributes {
			others[name] = others[name] || !own
		}
	}
	n.Attributes = make(map[string]any, len(u.Attributes))
	maps.Copy(n.Attributes, u.Attributes)
	for _, name := range g.Attributes {
		if !others[name] {
			delete(n.Attributes, name)
		}
	}
	for name, v := range fresh.Attributes {
		if !others[name] {
			n.Attributes[name] = v
		}
	}
	return &n
}
