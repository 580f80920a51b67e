package flows

import (
	"fmt"
	"slices"
	"time"
)

// Adopt takes over a provider's proof. One Execution, one person: another user
// ends the attempt with user_mismatch (I02).
func (x *Execution) Adopt(p Proof, provider, realm string) error {
	key, err := MakeUserKey(realm, p.User.Subject)
	if err != nil {
		return Refuse(ReasonInvalidAnswer, err)
	}
	if p.User.Name == "" {
		return Refuse(ReasonNameMissing, fmt.Errorf("provider %s sent no name for subject %s", provider, p.User.Subject))
	}
	if x.User != nil && x.User.Key != key {
		return Refuse(ReasonUserMismatch, fmt.Errorf("this run belongs to %s, provider %s answered %s", x.User.Key, provider, key))
	}
	if x.Drill != nil && p.User.Name != x.Drill.User {
		return Refuse(ReasonUserMismatch, fmt.Errorf("drill %s is for %s, provider %s answered %s", x.Drill.ID, x.Drill.User, provider, p.User.Name))
	}
	u := p.User
	u.Key, u.Realm, u.Provider = key, realm, provider
	if len(p.Evidence) == 0 {
		return Refuse(ReasonInvalidAnswer, fmt.Errorf("provider %s answered without evidence", provider))
	}
	if x.User == nil {
		x.User = &u
	} else {
		x.User = merge(x.User, &u)
	}
	for _, e := range p.Evidence {
		e.User, e.Provider = key, provider
		// Clipped: an inherited slice is the session's own, and others read it.
		x.Evidence = append(slices.Clip(x.Evidence), e)
	}
	x.Grants = append(slices.Clip(x.Grants), Granted(p, provider, x.Env.Now))
	x.Marks = append(x.Marks, p.Once...)
	x.Inherited = false
	return nil
}

// Admit takes over somebody whose passkey said who they are: the user is one that a
// provider vouches for, until notAfter unless that is zero. The evidence is that of no
// provider, so that it satisfies no login which asks for one (I01), and nothing of it
// can be ended there. One Execution, one person (I02).
func (x *Execution) Admit(u *User, e Evidence, notAfter time.Time) error {
	if x.User != nil && x.User.Key != u.Key {
		return Refuse(ReasonUserMismatch, fmt.Errorf("this run belongs to %s, the passkey to %s", x.User.Key, u.Key))
	}
	if x.User == nil { // else more is known already than before
		x.User = u
	}
	e.User, e.Provider = u.Key, Passkey
	x.Evidence = append(slices.Clip(x.Evidence), e)
	if x.NotAfter.IsZero() || !notAfter.IsZero() && notAfter.Before(x.NotAfter) {
		x.NotAfter = notAfter
	}
	x.Inherited = false
	return nil
}

// merge refreshes what the same person's newer proof says and keeps the rest.
func merge(old, fresh *User) *User {
	u := *fresh
	u.Attributes = make(map[string]any, len(old.Attributes)+len(fresh.Attributes))
	for k, v := range old.Attributes {
		u.Attributes[k] = v
	}
	for k, v := range fresh.Attributes {
		u.Attributes[k] = v
	}
	if u.Email == "" {
		u.Email = old.Email
	}
	if u.DisplayName == "" {
		u.DisplayName = old.DisplayName
	}
	u.Derived = nil
	for _, d := range old.Derived {
		if _, said := fresh.Attributes[d.Name]; !said {
			u.Derived = append(u.Derived, d)
		}
	}
	return &u
}

// SetAttribute changes one attribute on a copy of the user.
func (x *Execution) SetAttribute(name string, v any) { x.SetDerived(Derived{Name: name}, v) }

// SetDerived is SetAttribute for a value that is worked out again when the claims
// it was made of are renewed.
func (x *Execution) SetDerived(d Derived, v any) {
	name := d.Name
	if x.User == nil {
		return
	}
	u := *x.User
	u.Attributes = make(map[string]any, len(x.User.Attributes)+1)
	for k, old := range x.User.Attributes {
		u.Attributes[k] = old
	}
	u.Attributes[name] = v
	u.Derived = append(slices.DeleteFunc(slices.Clone(u.Derived), func(o Derived) bool { return o.Name == name }), d)
	x.User = &u
}
