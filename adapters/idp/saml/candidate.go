package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	samllib "github.com/crewjam/saml"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// descriptor is an EntityDescriptor, or an EntitiesDescriptor around several.
type descriptor struct {
	XMLName       xml.Name
	EntityID      string       `xml:"entityID,attr"`
	ValidUntil    string       `xml:"validUntil,attr"`
	CacheDuration string       `xml:"cacheDuration,attr"`
	Extensions    extensions   `xml:"urn:oasis:names:tc:SAML:2.0:metadata Extensions"`
	Roles         []role       `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
	Entities      []descriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
	Groups        []descriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntitiesDescriptor"`
}

type role struct {
	Protocols     string     `xml:"protocolSupportEnumeration,attr"`
	ValidUntil    string     `xml:"validUntil,attr"`
	CacheDuration string     `xml:"cacheDuration,attr"`
	WantSigned    string     `xml:"WantAuthnRequestsSigned,attr"`
	Extensions    extensions `xml:"urn:oasis:names:tc:SAML:2.0:metadata Extensions"`
	Keys          []struct {
		Use   string   `xml:"use,attr"`
		Certs []string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	SLO []address `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleLogoutService"`
	SSO []address `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
}

type extensions struct {
	Scopes []struct {
		Value  string `xml:",chardata"`
		Regexp string `xml:"regexp,attr"`
	} `xml:"urn:mace:shibboleth:metadata:1.0 Scope"`
}

type address struct {
	Binding          string `xml:"Binding,attr"`
	Location         string `xml:"Location,attr"`
	ResponseLocation string `xml:"ResponseLocation,attr"`
}

// candidate is an identity provider somewhere in a document, with what the
// elements around it say about time.
type candidate struct {
	entity *descriptor
	role   *role
	until  time.Time
	cache  time.Duration
}

// candidates walks a document; until and cache are those of the elements around.
func candidates(d *descriptor, until time.Time, cache time.Duration) ([]candidate, error) {
	until, cache, err := narrower(until, cache, d.ValidUntil, d.CacheDuration)
	if err != nil {
		return nil, err
	}
	var found []candidate
	for i := range d.Roles {
		r := &d.Roles[i]
		if !slices.Contains(strings.Fields(r.Protocols), nsSAMLP) {
			continue
		}
		u, c, err := narrower(until, cache, r.ValidUntil, r.CacheDuration)
		if err != nil {
			return nil, err
		}
		found = append(found, candidate{d, r, u, c})
		break // one entity is one provider; a second role of the same protocol says nothing new
	}
	for _, inner := range [][]descriptor{d.Entities, d.Groups} {
		for i := range inner {
			more, err := candidates(&inner[i], until, cache)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
	}
	return found, nil
}

// narrower is the earlier end and the shorter cache of what stood around and
// what an element says itself (SAML Metadata §2.3.1: the smaller one counts).
func narrower(until time.Time, cache time.Duration, validUntil, cacheDuration string) (time.Time, time.Duration, error) {
	if validUntil != "" {
		t, err := dateTime(validUntil)
		if err != nil {
			return until, cache, fmt.Errorf("validUntil '%s' is no time", outbound.Clip(validUntil, 60))
		}
		if until.IsZero() || t.Before(until) {
			until = t
		}
	}
	if cacheDuration != "" {
		var d samllib.Duration
		// A cacheDuration nobody can read is only advice lost.
		if err := d.UnmarshalText([]byte(cacheDuration)); err == nil && d > 0 && (cache == 0 || time.Duration(d) < cache) {
			cache = time.Duration(d)
		}
	}
	return until, cache, nil
}

// dateTime reads an xs:dateTime; without a zone it is UTC (SAML Core §1.3.3).
func dateTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	return time.Parse("2006-01-02T15:04:05", s)
}

// read makes an idp of what was found.
func (c *candidate) read() (*idp, error) {
	m := &idp{EntityID: strings.TrimSpace(c.entity.EntityID), ValidUntil: c.until, Cache: c.cache}
	if m.EntityID == "" || len(m.EntityID) > 1024 || outbound.Clip(m.EntityID, 1024) != m.EntityID {
		return nil, errors.New("metadata has no usable entityID")
	}
	var err error
	if m.SSO, err = endpoints(c.role.SSO); len(m.SSO) == 0 {
		if err == nil {
			err = errors.New("it has none")
		}
		return nil, fmt.Errorf("metadata of %s names no usable SingleSignOnService (HTTP-Redirect or HTTP-POST): %w", m.EntityID, err)
	}
	m.SLO, _ = endpoints(c.role.SLO) // without one there is no single logout
	if m.Certs, err = c.role.certs(); err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", m.EntityID, err)
	}
	m.WantSigned = xmlTrue(c.role.WantSigned)
	for _, x := range []extensions{c.role.Extensions, c.entity.Extensions} {
		for _, sc := range x.Scopes {
			// A pattern is somebody else's program; who needs it writes `scope` himself.
			if v := strings.ToLower(strings.TrimSpace(sc.Value)); v != "" && !xmlTrue(sc.Regexp) {
				m.Scopes = append(m.Scopes, v)
			}
		}
	}
	return m, nil
}

func xmlTrue(s string) bool {
	s = strings.TrimSpace(s)
	return s == "true" || s == "1"
}

// endpoints are the usable ones; the error says why the first of the others is not.
func endpoints(list []address) (out []endpoint, first error) {
	for _, a := range list {
		if a.Binding != redirectBinding && a.Binding != postBinding {
			continue
		}
		e := endpoint{a.Binding, strings.TrimSpace(a.Location), strings.TrimSpace(a.ResponseLocation)}
		err := usable(e.Location)
		if err == nil && e.ResponseLocation != "" {
			err = usable(e.ResponseLocation)
		}
		if err == nil {
			out = append(out, e)
		} else if first == nil {
			first = err
		}
	}
	return out, first
}

// usable accepts https, and plain http on loopback only.
func usable(location string) error {
	u, err := url.Parse(location)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("'%s' is no usable address", outbound.Clip(location, 200))
	case u.Scheme == "https", u.Scheme == "http" && outbound.Loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("'%s' is not https", outbound.Clip(location, 200))
}

// certs are the keys that the role signs with: those that are for signing, and
// those that are for everything.
func (r *role) certs() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	why := errors.New("it has none")
	for _, k := range r.Keys {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, text := range k.Certs {
			c, err := signingCert(text)
			if err != nil {
				why = err
			} else if !slices.ContainsFunc(out, c.Equal) {
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no usable signing key: %w", why)
	}
	return out, nil
}

// signingCert reads a certificate whose key can be trusted to sign.
func signingCert(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, errors.New("a certificate is no base64")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a certificate cannot be read: %s", outbound.Short(err))
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("an RSA key has %d bits; at least 2048 are needed", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
	default:
		return nil, fmt.Errorf("a key is %s; RSA and ECDSA are accepted", c.PublicKeyAlgorithm)
	}
	return c, nil
}
