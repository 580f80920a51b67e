package saml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
	samllib "github.com/crewjam/saml"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const (
	bearer     = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	transient  = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// facts are what a verified assertion says: what Receive hands on to Finish.
type facts struct {
	// Issuer is who spoke, ACS where it came to, Entity our name there.
	Issuer string `json:"issuer"`
	ACS    string `json:"acs"`
	Entity string `json:"entity"`
	// ID is that of the assertion, InResponseTo that of our request; empty: the
	// provider began by itself.
	ID           string `json:"id"`
	InResponseTo string `json:"in_response_to,omitempty"`
	// Until is the last instant at which it is taken, skew included.
	Until time.Time `json:"until"`
	// NameID is nil where the provider names nobody (SAML2Int SDP-SP13).
	NameID *nameID `json:"name_id,omitempty"`
	// Class is the AuthnContextClassRef, At the AuthnInstant.
	Class string    `json:"class,omitempty"`
	At    time.Time `json:"at"`
	// Sessions are the SessionIndexes, NotAfter the earliest SessionNotOnOrAfter.
	Sessions   []string    `json:"sessions,omitempty"`
	NotAfter   time.Time   `json:"not_after,omitzero"`
	Attributes []attribute `json:"attributes,omitempty"`
}

// judge reads a verified assertion and checks everything that it says about
// itself (SAML Core §2, Profiles §4.1.4.3). el is what the signature covers.
func (m *reception) judge(el *etree.Element) (*facts, error) {
	if err := anatomy(el); err != nil {
		return nil, err
	}
	if err := m.common(el); err != nil {
		return nil, err
	}
	if err := m.issuer(el); err != nil {
		return nil, err
	}
	raw, err := octets(el)
	if err != nil {
		return nil, err
	}
	var a samllib.Assertion
	if err := xml.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("assertion: %s", outbound.Clip(err.Error(), 100))
	}
	f := &facts{
		Issuer: m.peer.EntityID, ACS: m.acs, Entity: m.entity, ID: a.ID,
		InResponseTo: m.inResponseTo, Until: a.IssueInstant.Add(issueDelay + m.skew),
	}
	for _, step := range []func(*etree.Element, *samllib.Assertion, *facts) error{
		m.subject, m.confirmation, m.conditions, m.statement, m.attributes,
	} {
		if err := step(el, &a, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// anatomy: each part of an assertion stands as often as the schema says. A
// library that takes the last of two would read another one than we judge.
func anatomy(el *etree.Element) error {
	if err := parts(el, map[string]int{
		"Issuer": 1, "Signature": 1, "Subject": 1, "Conditions": 1, "Advice": 1,
		"AuthnStatement": 100, "AuthzDecisionStatement": 100, "AttributeStatement": 100,
	}); err != nil {
		return err
	}
	for _, sub := range children(el, nsSAML, "Subject") {
		if err := parts(sub, map[string]int{"NameID": 1, "BaseID": 1, "EncryptedID": 1, "SubjectConfirmation": 10}); err != nil {
			return err
		}
		for _, c := range children(sub, nsSAML, "SubjectConfirmation") {
			if err := parts(c, map[string]int{"NameID": 1, "BaseID": 1, "EncryptedID": 1, "SubjectConfirmationData": 1}); err != nil {
				return err
			}
		}
	}
	for _, c := range children(el, nsSAML, "Conditions") {
		// A condition that is not understood leaves the assertion undecided (§2.5.1.1).
		if err := parts(c, map[string]int{"AudienceRestriction": 10, "OneTimeUse": 1, "ProxyRestriction": 1}); err != nil {
			return err
		}
	}
	for _, st := range children(el, nsSAML, "AuthnStatement") {
		if err := parts(st, map[string]int{"SubjectLocality": 1, "AuthnContext": 1}); err != nil {
			return err
		}
	}
	return nil
}

func parts(el *etree.Element, most map[string]int) error {
	seen := map[string]int{}
	for _, c := range el.ChildElements() {
		uri := nsSAML
		if c.Tag == "Signature" {
			uri = nsDsig
		}
		seen[c.Tag]++
		if c.NamespaceURI() != uri || seen[c.Tag] > most[c.Tag] {
			return fmt.Errorf("%s is unknown in %s, or one too many", outbound.Clip(c.Tag, 40), el.Tag)
		}
	}
	return nil
}

func (m *reception) subject(el *etree.Element, a *samllib.Assertion, f *facts) error {
	if a.Subject == nil {
		return errors.New("assertion without Subject")
	}
	sub, err := only(el, nsSAML, "Subject")
	if err != nil {
		return err
	}
	if len(children(sub, nsSAML, "BaseID"))+len(children(sub, nsSAML, "EncryptedID")) > 0 {
		return errors.New("a subject that is no NameID")
	}
	n := a.Subject.NameID
	if n == nil {
		return nil
	}
	named, err := only(sub, nsSAML, "NameID")
	if err != nil {
		return err
	}
	value, err := text(named)
	if err != nil {
		return err
	}
	if err := plain(value); err != nil {
		return fmt.Errorf("NameID %w", err)
	}
	if value != n.Value {
		return errors.New("two readings of one NameID")
	}
	f.NameID = &nameID{Value: value, Format: n.Format, NameQualifier: n.NameQualifier, SPNameQualifier: n.SPNameQualifier}
	return nil
}

// confirmation wants a bearer confirmation that fits in everything; the others
// are for other ways to show an assertion (Profiles §4.1.4.2).
func (m *reception) confirmation(_ *etree.Element, a *samllib.Assertion, f *facts) error {
	problem := errors.New("no bearer SubjectConfirmation")
	for _, c := range a.Subject.SubjectConfirmations {
		if c.Method != bearer {
			continue
		}
		d := c.SubjectConfirmationData
		switch {
		case d == nil:
			problem = errors.New("a bearer without SubjectConfirmationData")
		case d.Recipient != m.acs:
			problem = fmt.Errorf("the assertion is for recipient %q, it came to %q", outbound.Clip(d.Recipient, 200), m.acs)
		case d.NotOnOrAfter.IsZero():
			problem = errors.New("a bearer without NotOnOrAfter")
		case !m.now.Before(d.NotOnOrAfter.Add(m.skew)):
			problem = errors.New("the SubjectConfirmation expired")
		case !d.NotBefore.IsZero() && m.now.Before(d.NotBefore.Add(-m.skew)):
			problem = errors.New("the SubjectConfirmation is not valid yet")
		case d.InResponseTo != m.inResponseTo:
			problem = fmt.Errorf("the assertion answers request %q, the Response around it %q", outbound.Clip(d.InResponseTo, 100), outbound.Clip(m.inResponseTo, 100))
		default:
			f.until(d.NotOnOrAfter.Add(m.skew))
			return nil
		}
	}
	return problem
}

// until brings the end forward.
func (f *facts) until(t time.Time) {
	if t.Before(f.Until) {
		f.Until = t
	}
}

// conditions: valid now, and for us. Several AudienceRestrictions hold together,
// the audiences in one are alternatives (Core §2.5.1.4).
func (m *reception) conditions(el *etree.Element, a *samllib.Assertion, f *facts) error {
	c := a.Conditions
	switch {
	case c == nil:
		return errors.New("assertion without Conditions")
	case !c.NotBefore.IsZero() && m.now.Before(c.NotBefore.Add(-m.skew)):
		return errors.New("the assertion is not valid yet")
	case !c.NotOnOrAfter.IsZero() && !m.now.Before(c.NotOnOrAfter.Add(m.skew)):
		return errors.New("the assertion expired")
	case len(c.AudienceRestrictions) == 0:
		return errors.New("assertion without AudienceRestriction")
	}
	if !c.NotOnOrAfter.IsZero() {
		f.until(c.NotOnOrAfter.Add(m.skew))
	}
	cond, err := only(el, nsSAML, "Conditions")
	if err != nil {
		return err
	}
	for _, r := range children(cond, nsSAML, "AudienceRestriction") {
		var names []string
		for _, aud := range children(r, nsSAML, "Audience") {
			v, err := text(aud)
			if err != nil {
				return err
			}
			names = append(names, v)
		}
		if !slices.Contains(names, m.entity) {
			return fmt.Errorf("the assertion is for audience %q, we are %q", outbound.Clip(fmt.Sprint(names), 200), m.entity)
		}
	}
	return nil
}

// statement reads how and when the person signed in.
func (m *reception) statement(_ *etree.Element, a *samllib.Assertion, f *facts) error {
	if len(a.AuthnStatements) == 0 {
		return errors.New("assertion without AuthnStatement")
	}
	for i, st := range a.AuthnStatements {
		switch {
		case st.AuthnInstant.IsZero():
			return errors.New("AuthnStatement without AuthnInstant")
		case st.AuthnInstant.After(m.now.Add(m.skew)):
			return errors.New("AuthnInstant lies ahead of our clock, more than clock_skew")
		}
		if end := st.SessionNotOnOrAfter; end != nil && !end.IsZero() {
			if !m.now.Before(end.Add(m.skew)) {
				return errors.New("the session at the provider has ended")
			}
			if f.NotAfter.IsZero() || end.Before(f.NotAfter) {
				f.NotAfter = *end
			}
		}
		if st.SessionIndex != "" && !slices.Contains(f.Sessions, st.SessionIndex) {
			f.Sessions = append(f.Sessions, st.SessionIndex)
		}
		if i == 0 {
			f.At = st.AuthnInstant
			if ref := st.AuthnContext.AuthnContextClassRef; ref != nil {
				f.Class = ref.Value
			}
		}
	}
	return nil
}
