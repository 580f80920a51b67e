package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// explainedID is the public id of a session that exists nowhere.
const explainedID = "explained"

// known finds who asks, and makes the session they would have.
func (e *explaining) known(ctx context.Context) error {
	c := e.c
	e.run = c.Flows == nil
	switch {
	case c.Session != "":
		return e.ofSession(ctx)
	case c.User == nil:
		return nil
	case c.User.Key != "":
		u, err := e.ofKey(ctx, c.User.Key)
		if err != nil {
			return err
		}
		e.stored = true
		return e.sketch(ctx, u, flowsession.Card{ID: explainedID}, nil)
	}
	p := e.providerOf(c.User)
	provider, realm := "", ""
	if p != nil {
		provider, realm = p.Name, p.Realm()
	}
	u, err := c.User.byHand(provider, realm)
	if err != nil {
		return err
	}
	if u.Key == "" {
		return errors.New("user needs a name, a subject or a key")
	}
	e.from = "input"
	return e.sketch(ctx, u, flowsession.Card{ID: explainedID}, nil)
}

// providerOf is that of somebody whose attributes were written: the one they name, that
// of their key's realm, or the first there is.
func (e *explaining) providerOf(u *ExplainUser) *flows.Provider {
	name, _ := u.Attributes["provider"].(string)
	if name != "" {
		return e.app.called(name)
	}
	key, _ := u.Attributes["key"].(string)
	if p := e.ofRealm(flows.UserKey(key)); p != nil {
		return p
	}
	if len(e.app.providers) > 0 {
		return e.app.providers[0]
	}
	return nil
}

func (e *explaining) ofRealm(key flows.UserKey) *flows.Provider {
	realm, _, _ := strings.Cut(string(key), ":")
	return e.app.find(func(p *flows.Provider) bool { return p.Realm() == realm })
}

// ofSession takes a session as it is: whole if this node keeps it, else what its card says.
func (e *explaining) ofSession(ctx context.Context) error {
	e.stored = true
	if s := e.app.shared.cache.Current(e.c.Session); s != nil {
		e.from = "session"
		card := s.Card
		card.Seen = s.Seen()
		if e.c.Flows == nil {
			e.run = false
		}
		return e.sketch(ctx, s.User, card, s)
	}
	card, err := e.app.sessions.Card(ctx, e.c.Session)
	if errors.Is(err, flows.ErrNotFound) || err == nil && !card.Ended.IsZero() {
		return fmt.Errorf("no session has the id '%s'", e.c.Session)
	}
	if err != nil {
		return err
	}
	u, err := e.ofKey(ctx, card.User)
	if err != nil {
		return err
	}
	e.run = false
	e.note("this node does not keep the session, and only its ticket opens what it holds: what was proved is not known")
	return e.sketch(ctx, u, *card, nil)
}

// ofKey finds somebody by their key: in a session that this node keeps, at a provider
// that can be asked, by what their passkeys know, or by the card of a session.
func (e *explaining) ofKey(ctx context.Context, key flows.UserKey) (*flows.User, error) {
	p := e.ofRealm(key)
	if p == nil {
		return nil, fmt.Errorf("user '%s' is of no provider's realm", key)
	}
	cards, err := e.app.sessions.List(ctx, key, "", maxListed)
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return nil, err
	}
	slices.SortStableFunc(cards, func(a, b *flowsession.Card) int { return b.Seen.Compare(a.Seen) })
	for _, c := range cards {
		if s := e.app.shared.cache.Current(c.ID); s != nil && s.User.Key == key {
			e.from = "session"
			return s.User.Underived(), nil
		}
	}
	_, subject, _ := strings.Cut(string(key), ":")
	if v, ok := p.Guest.(flows.Voucher); ok {
		u, notAfter, err := v.Vouch(ctx, subject)
		if err == nil {
			e.notAfter = notAfter
			u.Key, u.Realm, u.Provider = key, p.Realm(), p.Name
			e.from = "provider"
			return &u, nil
		}
		if !errors.Is(err, flows.ErrCredentials) {
			return nil, err
		}
		e.note("provider %s knows no such account, or it is switched off", p.Name)
	}
	own, err := e.app.recordsOf(ctx, key)
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return nil, err
	}
	for _, handle := range handlesOf(own) {
		if u, _, err := (holders{e.app}).Holder(ctx, handle); err == nil {
			e.from = "passkey"
			return u, nil
		}
	}
	u := &flows.User{Key: key, Realm: p.Realm(), Provider: p.Name, Subject: subject, Name: subject}
	e.from = "key"
	if len(cards) > 0 {
		e.from, u.Name, u.Provider = "card", cards[0].Name, cards[0].Provider
	}
	e.note("nothing but the name of %s is known here: write the attributes that conditions read", key)
	return u, nil
}

// sketch makes the session. live is the one it is a likeness of; nil: there is none.
func (e *explaining) sketch(ctx context.Context, u *flows.User, card flowsession.Card, live *flowsession.Session) error {
	c := e.c
	if card.Started.IsZero() {
		card.Started = e.now.Add(-time.Duration(c.SessionAge))
	}
	if card.Seen.IsZero() {
		card.Seen = e.now
	}
	card.User, card.Name, card.Provider = u.Key, u.Name, u.Provider
	done := map[string]flowsession.Done{}
	if c.Flows == nil {
		for name, d := range card.Flows {
			done[name] = d
		}
	}
	for _, name := range c.Flows {
		if _, ok := e.app.programs[name]; !ok {
			return fmt.Errorf("flows: no flow is called '%s'; there are: %s", name, strings.Join(orderOf(nil, e.app.programs), ", "))
		}
		done[name] = flowsession.Done{Digest: e.app.programs[name].Digest, At: card.Started}
	}
	for name, age := range c.Proved {
		d := done[name]
		if d.At.IsZero() {
			d.At = card.Started
		}
		d.Proved = e.now.Add(-time.Duration(age))
		done[name] = d
	}
	card.Flows = done
	e.limits(&card)
	evidence, err := e.evidence(u)
	if err != nil {
		return err
	}
	readings, risk := e.said(nil)
	if live != nil && c.Evidence == nil {
		evidence = live.Evidence
	}
	if live != nil && readings == nil {
		readings, risk = live.Readings, live.Risk
	}
	e.session = flowsession.Sketch(card, u, evidence, readings, risk)
	return e.enrolled(ctx, u)
}

// limits ends the session when it would end.
func (e *explaining) limits(card *flowsession.Card) {
	if card.Idle == 0 {
		card.Idle = e.app.limits.Idle
	}
	if card.Expires.IsZero() {
		card.Expires = card.Started.Add(e.app.limits.Lifetime)
		if !e.notAfter.IsZero() && e.notAfter.Before(card.Expires) {
			card.Expires = e.notAfter
		}
	}
}
