package module

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// sameUser refuses what would make the session another person's (I02), or what
// the provider may not say.
func (a *App) sameUser(s *flowsession.Session, g flows.Grant, proof *flows.Proof) error {
	p := a.called(g.Provider)
	if p == nil {
		return flows.Refuse(flows.ReasonUserMismatch, fmt.Errorf("no provider is called %s", g.Provider))
	}
	key, err := flows.MakeUserKey(p.Realm(), proof.User.Subject)
	if err != nil || key != s.User.Key || proof.Issuer != g.Issuer {
		return flows.Refuse(flows.ReasonUserMismatch, fmt.Errorf("the session belongs to %s of %s, renewed was %s of %s", s.User.Key, g.Issuer, key, proof.Issuer))
	}
	u := proof.User
	u.Name = cmp.Or(u.Name, s.User.Name)
	if err := p.Guest.Options().InScope(&u); err != nil {
		return flows.Refuse(flows.ReasonNotAllowed, fmt.Errorf("provider %s: %w", p.Name, err))
	}
	return nil
}

// ownName makes a name that changed the person's own before the session shows it;
// one that is somebody else's it never shows (I06).
func (a *App) ownName(ctx context.Context, s *flowsession.Session, g flows.Grant, u *flows.User) error {
	switch {
	case s.User.Provider != g.Provider:
		u.Name = "" // another provider has the last word on it
		return nil
	case u.Name == "" || foldName(u.Name) == foldName(s.User.Name):
		return nil
	}
	held, err := a.names.held(ctx, s.User.Key, u.Name)
	if err != nil || held || s.User.Transient {
		return err
	}
	return a.names.take(ctx, s.User.Key, u.Name)
}

// rederive works out anew what steps of the flow concluded from claims. What
// cannot be any more is dropped: a condition that reads it then denies (I22).
func (a *App) rederive(u *flows.User, s *flowsession.Session) *flows.User {
	f := flows.Facts{Request: new(flows.Request), User: u, Evidence: s.Evidence, Session: &s.Facts, Readings: s.Readings, Risk: s.Risk, Now: Now()}
	for _, d := range u.Derived {
		if d.CEL == "" || a.mentions(d.CEL, false, "request", "geo", "device") {
			continue // the request of the login is not there any more
		}
		e, err := a.policies.Expression(d.CEL, d.Source)
		var value any
		if err == nil {
			value, err = e.Value(&f)
		}
		if err != nil {
			delete(u.Attributes, d.Name)
			a.log.Warn("attribute cannot be worked out from renewed claims", zap.String("attribute", d.Name), zap.String("session", s.ID()), zap.Error(err))
			continue
		}
		u.Attributes[d.Name] = value
	}
	return u
}

// noteChanges writes into the trail what a renewal changed: names, no values. It
// never waits (I25): most of what a provider changes takes something away.
func (a *App) noteChanges(old, fresh *flowsession.Session) {
	var changed []string
	was, is := old.User, fresh.User
	for _, c := range []struct {
		name string
		same bool
	}{
		{"name", was.Name == is.Name},
		{"display_name", was.DisplayName == is.DisplayName},
		{"email", was.Email == is.Email},
		{"groups", len(was.Groups) == len(is.Groups) && (len(is.Groups) == 0 || reflect.DeepEqual(was.Groups, is.Groups))},
		{"attributes", len(was.Attributes) == len(is.Attributes) && (len(is.Attributes) == 0 || reflect.DeepEqual(was.Attributes, is.Attributes))},
	} {
		if !c.same {
			changed = append(changed, c.name)
		}
	}
	if len(changed) == 0 {
		return
	}
	a.trail.Note(audit.Event{
		ID: newID(), Time: Now(), Kind: audit.SessionChanged, User: is.Key, Name: is.Name, Provider: is.Provider,
		Session: fresh.ID(), Detail: "renewed by the provider: " + strings.Join(changed, ", "),
	})
}
