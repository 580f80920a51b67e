package saml

import (
	"errors"
	"fmt"
	"time"

	"github.com/beevik/etree"
	samllib "github.com/crewjam/saml"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// issueDelay is how long a message may be under way, beside the skew: the browser
// posts it as soon as it has it.
const issueDelay = 90 * time.Second

// reception is what an answer is judged by.
type reception struct {
	s    *SAML
	peer *idp
	// keys are ours, when something is encrypted.
	keys []spKey
	// acs is where it came to, entity our name there.
	acs, entity string
	now         time.Time
	skew        time.Duration
	// inResponseTo is what the Response says it answers.
	inResponseTo string
}

// header judges the Response around the assertion (SAML Core §3.2.2, Profiles §4.1.4.2).
// Not signed it may be anybody's, and is held to the same.
func (m *reception) header(el *etree.Element, signed bool) error {
	if err := m.common(el); err != nil {
		return err
	}
	to, there := attr(el, "Destination")
	switch {
	case !there && signed:
		return errors.New("a signed Response without Destination")
	case there && to != m.acs:
		return fmt.Errorf("the Response is for %q, it came to %q", outbound.Clip(to, 200), m.acs)
	}
	if list := children(el, nsSAML, "Issuer"); len(list) > 0 {
		if err := m.issuer(el); err != nil {
			return err
		}
	}
	m.inResponseTo = attrOf(el, "InResponseTo")
	return status(el)
}

// common judges what messages and assertions have in common: Version, ID and age.
func (m *reception) common(el *etree.Element) error {
	if v := attrOf(el, "Version"); v != "2.0" {
		return fmt.Errorf("%s of version %q", el.Tag, outbound.Clip(v, 10))
	}
	if attrOf(el, "ID") == "" {
		return fmt.Errorf("%s without ID", el.Tag)
	}
	at, err := timeOf(el, "IssueInstant")
	switch {
	case err != nil:
		return err
	case at.IsZero():
		return fmt.Errorf("%s without IssueInstant", el.Tag)
	case at.After(m.now.Add(m.skew)):
		return fmt.Errorf("%s was issued %s ahead of our clock, more than clock_skew", el.Tag, at.Sub(m.now).Round(time.Second))
	case m.now.After(at.Add(issueDelay + m.skew)):
		return fmt.Errorf("%s was issued %s ago", el.Tag, m.now.Sub(at).Round(time.Second))
	}
	return nil
}

// timeOf reads a time; zero where there is none.
func timeOf(el *etree.Element, name string) (time.Time, error) {
	v, there := attr(el, name)
	if !there {
		return time.Time{}, nil
	}
	var t samllib.RelaxedTime
	if err := t.UnmarshalText([]byte(v)); err != nil || v == "" {
		return time.Time{}, fmt.Errorf("%s of %s is no time", name, el.Tag)
	}
	return time.Time(t), nil
}

// issuer: who speaks is the provider whose metadata we have (S9).
func (m *reception) issuer(el *etree.Element) error {
	iss, err := only(el, nsSAML, "Issuer")
	if err != nil {
		return err
	}
	v, err := text(iss)
	if err != nil {
		return err
	}
	if v != m.peer.EntityID {
		return fmt.Errorf("%s of %q, the provider is %q", el.Tag, outbound.Clip(v, 200), m.peer.EntityID)
	}
	if f, there := attr(iss, "Format"); there && f != "urn:oasis:names:tc:SAML:2.0:nameid-format:entity" {
		return fmt.Errorf("%s has an Issuer of format %q", el.Tag, outbound.Clip(f, 100))
	}
	return nil
}

// status translates the provider's no.
func status(el *etree.Element) error {
	st, err := only(el, nsSAMLP, "Status")
	if err != nil {
		return err
	}
	code, err := only(st, nsSAMLP, "StatusCode")
	if err != nil {
		return err
	}
	if attrOf(code, "Value") == samllib.StatusSuccess {
		return nil
	}
	detail, reason := "", flows.ReasonProviderRefused
	if sub := children(code, nsSAMLP, "StatusCode"); len(sub) == 1 {
		detail = attrOf(sub[0], "Value")
		if r, ok := statuses[detail]; ok {
			reason = r
		}
	}
	said := ""
	if msg := children(st, nsSAMLP, "StatusMessage"); len(msg) == 1 {
		said, _ = text(msg[0])
	}
	return flows.Refuse(reason, fmt.Errorf("provider answered %q %q %q", outbound.Clip(attrOf(code, "Value"), 100), outbound.Clip(detail, 100), outbound.Clip(said, 200)))
}

// statuses that mean more than no (SAML Core §3.2.2.2).
var statuses = map[string]flows.Reason{
	samllib.StatusNoAuthnContext: flows.ReasonAssuranceNotMet,
}
