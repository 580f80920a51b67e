package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// guard decides where a connection may go. What is checked is what is dialled:
// a name that resolves to a public address for the check and to a private one
// for the connection (DNS rebinding) gains nothing.
type guard struct {
	trusted map[string]bool
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	plain   func(ctx context.Context, network, addr string) (net.Conn, error)
	checked func(ctx context.Context, network, addr string) (net.Conn, error)
}

func newGuard(o Options) *guard {
	g := &guard{trusted: map[string]bool{}, resolve: o.resolve, plain: o.dial, checked: o.dial}
	for _, h := range o.Trusted {
		if h = canonical(h); h != "" {
			g.trusted[h] = true
		}
	}
	if g.resolve == nil {
		g.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if g.plain == nil {
		g.plain = (&net.Dialer{Timeout: connectTimeout}).DialContext
		g.checked = (&net.Dialer{Timeout: connectTimeout, Control: control}).DialContext
	}
	return g
}

// canonical spells a host, or host and port, in one way.
func canonical(h string) string {
	h = strings.ToLower(strings.TrimSpace(h))
	if name, port, err := net.SplitHostPort(h); err == nil {
		return net.JoinHostPort(strings.TrimSuffix(name, "."), port)
	}
	return strings.TrimSuffix(strings.Trim(h, "[]"), ".")
}

func (g *guard) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	if g.trusted[canonical(name)] || g.trusted[canonical(addr)] {
		return g.plain(ctx, network, addr)
	}
	ips, err := g.resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	for _, ip := range ips { // all of them: which one is tried first is the far side's choice
		if !Public(ip) {
			return nil, fmt.Errorf("%s is %s: %w, and the host is not in the configuration", name, ip, ErrAddress)
		}
	}
	var errs []error
	for _, ip := range ips {
		c, err := g.checked(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return c, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// control is the second lock, on the address the socket is about to connect to.
func control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !Public(ap.Addr()) {
		return fmt.Errorf("%s: %w", ap.Addr(), ErrAddress)
	}
	return nil
}

// special are the ranges of the IANA special-purpose registries (RFC 6890) that
// netip has no word for, and addresses of clouds that look public.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10" /* carrier NAT, RFC 6598 */, "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's wire server, a metadata service on a public address
	"2001::/23" /* Teredo and others */, "2001:db8::/32", "2002::/16" /* 6to4 */, "3fff::/20",
)

var (
	global6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Public reports whether an address is one of the public Internet: not
// loopback, private, link-local (cloud metadata), carrier NAT, multicast,
// unspecified or reserved, also not in an IPv6 disguise.
func Public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if nat64.Contains(a) { // RFC 6052: the IPv4 address is what counts
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is6() && !global6.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Loopback reports whether what is sent to a host stays on this machine, so that it
// needs no TLS. A name below .localhost is none of them: a resolver may look it up
// elsewhere (RFC 6761 §6.3).
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
