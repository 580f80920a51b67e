// Package header vouches for people by what an access manager in front of us, which is
// still running, wrote into each request.
package header

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Provider{})
}

// The longest name and attribute that are believed.
const (
	maxName  = 256
	maxValue = 8 << 10
)

// Provider believes headers of requests that come from an access manager's own
// address, or with its certificate.
type Provider struct {
	// The header that holds the login name. Required.
	User string `json:"user,omitempty"`
	// Further headers, by the attribute they fill. The reserved ones can be: subject (default: the
	// login name), display_name, email (with trust), groups.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	// Addresses of the access manager, in CIDR notation: the TCP peer, never what
	// X-Forwarded-For says.
	From []string `json:"from,omitempty"`
	// The connection must show a client certificate that the site's `client_auth` verified.
	ClientCert bool `json:"client_cert,omitempty"`
	// Names that the certificate must have one of: a DNS name, or the common name; default: any.
	ClientNames []string `json:"client_names,omitempty"`
	flows.ProviderOptions

	nets []netip.Prefix
	now  func() time.Time
}

// Attribute is the header of an attribute, and how it is split.
type Attribute struct {
	// Header is its name.
	Header string `json:"header"`
	// Separator makes a list of it; groups are one always, by default at commas.
	Separator string `json:"separator,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "identity.providers.header",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision reads the addresses.
func (p *Provider) Provision(caddy.Context) (err error) {
	p.nets, err = prefixes(p.From)
	return err
}

// Validate refuses what would believe everybody, or nobody.
func (p *Provider) Validate() error { return p.check() }

func (p *Provider) check() error {
	switch {
	case p.User == "":
		return errors.New("user is required: the header that holds the login name")
	case len(p.From) == 0 && !p.ClientCert:
		return errors.New("from or client_cert is required: else anybody could send the header")
	case len(p.ClientNames) > 0 && !p.ClientCert:
		return errors.New("client_names are those of a client_cert")
	}
	if _, err := prefixes(p.From); err != nil {
		return err
	}
	seen := map[string]string{}
	for _, name := range p.Reads() {
		if !plainName(name) {
			return fmt.Errorf("'%s' is no name of a header: [A-Za-z0-9_-]+", name)
		}
		if other, twice := seen[flows.Alias(name)]; twice {
			return fmt.Errorf("header %s is read twice; many systems cannot tell %s from it", name, other)
		}
		seen[flows.Alias(name)] = name
	}
	for attribute := range p.Attributes {
		if err := checkAttribute(attribute); err != nil {
			return err
		}
	}
	return nil
}

// mappable are the reserved attributes that a header may fill.
var mappable = []string{"subject", "display_name", "email", "groups"}

func checkAttribute(name string) error {
	if name == "" || slices.Contains(flows.ReservedAttributes, name) && !slices.Contains(mappable, name) {
		return fmt.Errorf("attribute '%s' cannot be read from a header; of the reserved ones can: %s", name, strings.Join(mappable, ", "))
	}
	return nil
}

// prefixes reads addresses. All of a family would believe everybody.
func prefixes(from []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range from {
		n, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil && a.Zone() == "" {
			n, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("from '%s' is no address such as 10.0.0.0/24", text)
		case n.Bits() == 0:
			return nil, fmt.Errorf("from %s would believe everybody", text)
		}
		out = append(out, n.Masked())
	}
	return out, nil
}

func plainName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// Bind takes the clock.
func (p *Provider) Bind(r flows.Registry) error {
	p.now = r.Now
	return nil
}

// Reads are the headers, in the order of the attributes' names.
func (p *Provider) Reads() []string {
	names := []string{p.User}
	for _, attribute := range sorted(p.Attributes) {
		names = append(names, p.Attributes[attribute].Header)
	}
	return names
}

// VerifyRequest says who a request is from, if the access manager sent it (I18). A
// header that came twice, or in two spellings, was not all its own: then it says nothing.
func (p *Provider) VerifyRequest(_ context.Context, r *flows.Request) (flows.Proof, error) {
	if err := p.sentBy(r); err != nil {
		return flows.Proof{}, fmt.Errorf("%w: %w", flows.ErrNobody, err)
	}
	u, err := p.person(r)
	if err != nil {
		return flows.Proof{}, fmt.Errorf("%w: %w", flows.ErrNobody, err)
	}
	return flows.Proof{
		User: u, Issuer: "header " + p.User,
		Evidence: []flows.Evidence{{Method: "header", At: p.now()}},
	}, nil
}

// sentBy reports whether the access manager sent the request.
func (p *Provider) sentBy(r *flows.Request) error {
	if p.ClientCert {
		c := r.Certificate
		if c == nil {
			return errors.New("no client certificate was verified")
		}
		if len(p.ClientNames) > 0 && !slices.ContainsFunc(p.ClientNames, func(n string) bool {
			return slices.Contains(c.DNSNames, n) || c.Subject.CommonName == n
		}) {
			return errors.New("the client certificate has none of the names")
		}
	}
	if len(p.nets) == 0 {
		return nil
	}
	peer, err := netip.ParseAddrPort(r.Peer)
	if err != nil {
		return errors.New("the peer has no address")
	}
	ip := peer.Addr().Unmap().WithZone("")
	if !slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(ip) }) {
		return errors.New("the peer is not in from")
	}
	return nil
}

func sorted(m map[string]Attribute) []string {
	var names []string
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Provider)(nil)
	_ caddy.Validator       = (*Provider)(nil)
	_ caddyfile.Unmarshaler = (*Provider)(nil)
	_ flows.ProviderGuest   = (*Provider)(nil)
	_ flows.Binder          = (*Provider)(nil)
	_ flows.RequestVerifier = (*Provider)(nil)
)
