package saml

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// record is what the store keeps of a provider's metadata: enough to log in
// before its server answers, and who it is.
type record struct {
	Place      string     `json:"place"`
	Entity     string     `json:"entity"`
	SSO        []endpoint `json:"sso"`
	SLO        []endpoint `json:"slo,omitempty"`
	Certs      [][]byte   `json:"certs"`
	Scopes     []string   `json:"scopes,omitempty"`
	WantSigned bool       `json:"want_signed,omitempty"`
	ValidUntil time.Time  `json:"valid_until,omitzero"`
}

const recordKey = "metadata"

func newRecord(place string, m *idp) record {
	r := record{Place: place, Entity: m.EntityID, SSO: m.SSO, SLO: m.SLO, Scopes: m.Scopes, WantSigned: m.WantSigned, ValidUntil: m.ValidUntil}
	for _, c := range m.Certs {
		r.Certs = append(r.Certs, c.Raw)
	}
	return r
}

// keep writes good metadata to the store and settles who is described at this
// place: the first entityID that was seen, on whichever node, until `was` says
// otherwise. A place that was never configured before is another matter: there the
// provider's name is bound by its first login (I05).
func (s *source) keep(ctx context.Context, m *idp) error {
	s.mu.Lock()
	vault, was, good := s.vault, s.was, s.good
	s.mu.Unlock()
	fresh, err := json.Marshal(newRecord(s.place, m))
	if err != nil {
		return err
	}
	other := ""
	err = vault.Update(ctx, recordKey, func(old []byte) (flows.Change, error) {
		other = ""
		var o record
		if json.Unmarshal(old, &o) == nil && o.Place == s.place && o.Entity != m.EntityID && !slices.Contains(was, o.Entity) {
			other = o.Entity
			return flows.Keep(), nil
		}
		if string(old) == string(fresh) {
			return flows.Keep(), nil
		}
		return flows.Set(fresh, pinnedFor), nil
	})
	switch {
	case other != "":
		return flows.Refuse(flows.ReasonIssuerChanged, fmt.Errorf("it describes '%s', but this provider is '%s'; if that is meant, write: was %s", m.EntityID, other, other))
	case err != nil && good != nil && good.EntityID == m.EntityID:
		return nil // the store is down, and the answer to the question is known
	case err != nil:
		return fmt.Errorf("reading who this provider is: %w", err)
	}
	return nil
}

// restore takes what the store kept of an earlier run, once.
func (s *source) restore(ctx context.Context) error {
	s.mu.Lock()
	done, vault := s.restored, s.vault
	s.mu.Unlock()
	if done {
		return nil
	}
	b, err := vault.Get(ctx, recordKey)
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	m := parseRecord(b, s.place)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored = true
	if s.good == nil && m != nil {
		s.good = m
	}
	return nil
}

// parseRecord answers nil for a record that is of no use, or of another place.
func parseRecord(b []byte, place string) *idp {
	var r record
	if json.Unmarshal(b, &r) != nil || r.Place != place || r.Entity == "" || len(r.SSO) == 0 {
		return nil
	}
	m := &idp{EntityID: r.Entity, SSO: r.SSO, SLO: r.SLO, Scopes: r.Scopes, WantSigned: r.WantSigned, ValidUntil: r.ValidUntil}
	for _, der := range r.Certs {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil
		}
		m.Certs = append(m.Certs, c)
	}
	if len(m.Certs) == 0 {
		return nil
	}
	return m
}
