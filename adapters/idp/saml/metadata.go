package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const (
	redirectBinding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	postBinding     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// What a metadata document may cost. A federation's aggregate of many providers
// is far larger, but is of no use here: it must be one provider's.
const (
	metadataBytes = 10 << 20
	metadataDepth = 64
	metadataNodes = 200_000
	metadataAttrs = 64
)

// idp is what we need of an identity provider's metadata. It is never changed
// once it is published: who holds one may keep it.
type idp struct {
	EntityID string
	SSO, SLO []endpoint
	// Certs are the keys it signs with, in the order of the document; never empty. A
	// certificate is only the envelope of its key: its own dates do not count.
	Certs []*x509.Certificate
	// Scopes are the domains it may assert scoped attributes of (shibmd:Scope),
	// lower case; empty: the document does not say.
	Scopes []string
	// WantSigned: it wants AuthnRequests signed.
	WantSigned bool
	// ValidUntil is when the document stops being good; zero: it does not say.
	ValidUntil time.Time
	// Cache is how long the document may be used without a look at it; zero: it does not say.
	Cache time.Duration
}

// endpoint is an address of the provider (SAML Metadata §2.2.2).
type endpoint struct {
	Binding, Location string
	// ResponseLocation is where answers go; empty: to Location.
	ResponseLocation string
}

// by finds the address of a binding.
func by(list []endpoint, binding string) (endpoint, bool) {
	i := slices.IndexFunc(list, func(e endpoint) bool { return e.Binding == binding })
	if i < 0 {
		return endpoint{}, false
	}
	return list[i], true
}

// answerTo is where the answer to a request that this endpoint sent goes.
func (e endpoint) answerTo() string {
	if e.ResponseLocation != "" {
		return e.ResponseLocation
	}
	return e.Location
}

// expired reports whether the document was good only until before now.
func (m *idp) expired(now time.Time) bool {
	return !m.ValidUntil.IsZero() && now.After(m.ValidUntil)
}

// says reports whether both say the same.
func (m *idp) says(o *idp) bool {
	return m.EntityID == o.EntityID && m.WantSigned == o.WantSigned && m.Cache == o.Cache && m.ValidUntil.Equal(o.ValidUntil) &&
		slices.Equal(m.SSO, o.SSO) && slices.Equal(m.SLO, o.SLO) && slices.Equal(m.Scopes, o.Scopes) &&
		slices.EqualFunc(m.Certs, o.Certs, (*x509.Certificate).Equal)
}

// parseMetadata reads a document that describes exactly one identity provider.
// An expired one is refused.
func parseMetadata(doc []byte, now time.Time) (_ *idp, err error) {
	defer outbound.Caught(&err)
	if err := scanMetadata(doc); err != nil {
		return nil, err
	}
	var root descriptor
	if err := xml.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("metadata is no XML: %s", outbound.Short(err))
	}
	if root.XMLName.Space != "urn:oasis:names:tc:SAML:2.0:metadata" || root.XMLName.Local != "EntityDescriptor" && root.XMLName.Local != "EntitiesDescriptor" {
		return nil, fmt.Errorf("metadata begins with <%s>, not with an EntityDescriptor", outbound.Clip(root.XMLName.Local, 60))
	}
	found, err := candidates(&root, time.Time{}, 0)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, errors.New("metadata describes no SAML 2.0 identity provider")
	case 1:
	default:
		return nil, fmt.Errorf("metadata describes %d identity providers, as '%s' and '%s'; the document of one is needed",
			len(found), outbound.Clip(found[0].entity.EntityID, 200), outbound.Clip(found[1].entity.EntityID, 200))
	}
	m, err := found[0].read()
	if err != nil {
		return nil, err
	}
	if m.expired(now) {
		return nil, fmt.Errorf("metadata was valid until %s", m.ValidUntil.UTC().Format(time.RFC3339))
	}
	return m, nil
}

// scanMetadata bounds a document before anything is made of it, and refuses a
// document type: nobody needs one, and entities come with it.
func scanMetadata(doc []byte) error {
	if len(doc) > metadataBytes {
		return fmt.Errorf("metadata is longer than %d bytes", metadataBytes)
	}
	d := xml.NewDecoder(bytes.NewReader(doc))
	depth, nodes, roots := 0, 0, 0
	for {
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("metadata is no XML: %s", outbound.Short(err))
		}
		switch t := tok.(type) {
		case xml.Directive:
			return errors.New("metadata has a document type declaration")
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			nodes++
			if depth > metadataDepth || nodes > metadataNodes || len(t.Attr) > metadataAttrs || roots > 1 {
				return errors.New("metadata has too many elements or attributes, or more than one root")
			}
		case xml.EndElement:
			depth--
		}
	}
	return nil
}
