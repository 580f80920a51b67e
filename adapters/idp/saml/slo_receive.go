package saml

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const (
	maxIndexes = 100 // SessionIndexes of one request
	maxState   = 1024
)

// ReceiveLogout verifies a LogoutRequest, or the LogoutResponse to one of ours
// (SAML Profiles §4.4). Anybody can send one, so its signature comes before
// everything that costs more.
func (s *SAML) ReceiveLogout(ctx context.Context, c flows.Callback) (lm flows.LogoutMessage, err error) {
	defer func() {
		if r := recover(); r != nil {
			lm, err = flows.LogoutMessage{}, invalidf("the message could not be read: %v", r)
		}
	}()
	p, err := s.peer(ctx)
	if err != nil {
		return lm, err
	}
	var got delivered
	read := func() (err error) {
		got, err = openLogout(c, p)
		return err
	}
	err = atDesk(ctx, read)
	if errors.Is(err, errForeign) {
		if newer := s.again(ctx, p); newer != nil {
			p = newer
			err = atDesk(ctx, read)
		}
	}
	if err != nil {
		return lm, refusal(err)
	}
	r := reception{s: s, peer: p, acs: c.URL, entity: s.entityID(baseOf(c.URL)), now: s.now(), skew: s.skew()}
	if got.answer {
		lm, err = r.logoutAnswer(got)
	} else {
		lm, err = r.logoutAsked(ctx, got)
	}
	if err != nil {
		return flows.LogoutMessage{}, refusal(err)
	}
	return lm, nil
}

// logoutHead judges what both messages have in common. All of them are signed,
// so Destination must be there (SAML Bindings §3.4.5.2, §3.5.5.2).
func (m *reception) logoutHead(got delivered, tag string) error {
	if !is(got.el, nsSAMLP, tag) {
		return fmt.Errorf("a %s where a %s is expected", outbound.Clip(got.el.Tag, 40), tag)
	}
	if err := m.common(got.el); err != nil {
		return err
	}
	if to := attrOf(got.el, "Destination"); to != m.acs {
		return fmt.Errorf("the %s is for %q, it came to %q", tag, outbound.Clip(to, 200), m.acs)
	}
	return m.issuer(got.el)
}

// logoutAsked reads a LogoutRequest (SAML Core §3.7.1).
func (m *reception) logoutAsked(ctx context.Context, got delivered) (flows.LogoutMessage, error) {
	var lm flows.LogoutMessage
	if err := m.logoutHead(got, "LogoutRequest"); err != nil {
		return lm, err
	}
	end, err := timeOf(got.el, "NotOnOrAfter")
	if err != nil {
		return lm, err
	}
	if !end.IsZero() && !m.now.Before(end.Add(m.skew)) {
		return lm, errors.New("the LogoutRequest expired")
	}
	who, err := m.logoutName(ctx, got.el)
	if err != nil {
		return lm, err
	}
	sessions, err := sessionIndexes(got.el)
	if err != nil {
		return lm, err
	}
	issued, err := timeOf(got.el, "IssueInstant")
	if err != nil {
		return lm, err
	}
	id := attrOf(got.el, "ID")
	lm.Private, err = json.Marshal(asked{ID: id, Relay: got.relay, Binding: got.binding, Entity: m.entity})
	if err != nil {
		return lm, err
	}
	lm.Claim = &flows.LogoutClaim{
		LogoutKeys: claimKeys(who, sessions, m.peer.EntityID, m.entity), IssuedAt: issued,
		// An older one is refused, so the mark need not be kept for longer.
		Once: flows.Mark{Space: "saml.logout", ID: m.peer.EntityID + "\x00" + id, Until: issued.Add(issueDelay + 2*m.skew + time.Second)},
	}
	return lm, nil
}

// logoutName finds whose sessions end: exactly one NameID, perhaps encrypted.
func (m *reception) logoutName(ctx context.Context, el *etree.Element) (nameID, error) {
	named, hidden := children(el, nsSAML, "NameID"), children(el, nsSAML, "EncryptedID")
	if len(named)+len(hidden) != 1 || len(children(el, nsSAML, "BaseID")) != 0 {
		return nameID{}, fmt.Errorf("%d names in a LogoutRequest", len(named)+len(hidden))
	}
	if len(named) == 1 {
		return readNameID(named[0])
	}
	keys, err := m.s.spKeys(ctx)
	if err != nil {
		return nameID{}, err
	}
	box, err := readSealed(hidden[0])
	if err != nil {
		return nameID{}, err
	}
	// The signature around it was good: no stranger chose this ciphertext.
	inner, ok := box.open(keys)
	if !ok {
		return nameID{}, errors.New("the EncryptedID was not made for a key of ours")
	}
	doc, err := parse(inner, messageLimits)
	if err != nil {
		return nameID{}, err
	}
	if !is(doc.root, nsSAML, "NameID") {
		return nameID{}, errors.New("the EncryptedID holds no NameID")
	}
	return readNameID(doc.root)
}

// readNameID reads a name as it stands (SAML Core §2.2.3).
func readNameID(el *etree.Element) (nameID, error) {
	value, err := text(el)
	if err != nil {
		return nameID{}, err
	}
	if err := plain(value); err != nil {
		return nameID{}, fmt.Errorf("NameID %w", err)
	}
	return nameID{
		Value: value, Format: attrOf(el, "Format"), NameQualifier: attrOf(el, "NameQualifier"), SPNameQualifier: attrOf(el, "SPNameQualifier"),
	}, nil
}

// sessionIndexes are the sessions that are meant; none means all.
func sessionIndexes(el *etree.Element) ([]string, error) {
	list := children(el, nsSAMLP, "SessionIndex")
	if len(list) > maxIndexes {
		return nil, fmt.Errorf("%d SessionIndexes, at most %d are read", len(list), maxIndexes)
	}
	var out []string
	for _, c := range list {
		v, err := text(c)
		if err != nil {
			return nil, err
		}
		if v == "" || len(v) > 1024 {
			return nil, errors.New("a SessionIndex that is empty or too long")
		}
		out = append(out, v)
	}
	return out, nil
}

// logoutAnswer reads the LogoutResponse to a request of ours (SAML Core §3.7.2).
func (m *reception) logoutAnswer(got delivered) (flows.LogoutMessage, error) {
	if err := m.logoutHead(got, "LogoutResponse"); err != nil {
		return flows.LogoutMessage{}, err
	}
	to := attrOf(got.el, "InResponseTo")
	if got.relay == "" || subtle.ConstantTimeCompare([]byte(to), []byte(logoutID(got.relay))) != 1 {
		return flows.LogoutMessage{}, errors.New("the LogoutResponse is to no request that was sent with its RelayState")
	}
	failed, err := failedStatus(got.el)
	if err != nil {
		return flows.LogoutMessage{}, err
	}
	return flows.LogoutMessage{State: got.relay, Failed: failed}, nil
}

// failedStatus reports anything but plain success: a partial logout is a success
// that says more below.
func failedStatus(el *etree.Element) (bool, error) {
	st, err := only(el, nsSAMLP, "Status")
	if err != nil {
		return false, err
	}
	code, err := only(st, nsSAMLP, "StatusCode")
	if err != nil {
		return false, err
	}
	return attrOf(code, "Value") != statusSuccess || len(children(code, nsSAMLP, "StatusCode")) > 0, nil
}
