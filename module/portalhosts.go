package module

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// hostSet are the exact hosts of routes with protect.
type hostSet struct {
	origins map[string]bool // of `url`
	hosts   map[string][]ports
	// open are sites with protect whose hosts cannot be listed.
	open []string
}

// ports are where a server listens, and whether TLS ends there.
type ports struct {
	listen []caddy.NetworkAddress
	tls    bool
}

// serve reports whether a browser may come here by a scheme and port: by those of
// the listener, or, through a balancer or a port that is mapped, by those of https.
func (p ports) serve(scheme string, port uint) bool {
	if scheme == "https" && port == 443 {
		return true
	}
	return p.tls == (scheme == "https") && slices.ContainsFunc(p.listen, func(a caddy.NetworkAddress) bool {
		return !a.IsUnixNetwork() && a.StartPort <= port && port <= a.EndPort
	})
}

func (s hostSet) has(scheme, host string) bool {
	if s.origins[scheme+"://"+host] {
		return true
	}
	port := uint64(443)
	if scheme == "http" {
		port = 80
	}
	name, text, err := net.SplitHostPort(host)
	if err == nil {
		if port, err = strconv.ParseUint(text, 10, 16); err != nil || strconv.FormatUint(port, 10) != text {
			return false
		}
	} else {
		name = host
	}
	return slices.ContainsFunc(s.hosts[strings.Trim(name, "[]")], func(p ports) bool { return p.serve(scheme, uint(port)) })
}

// hostsServed walks the routes of all servers.
func (a *App) hostsServed() hostSet {
	s := hostSet{origins: map[string]bool{}, hosts: map[string][]ports{}}
	for _, srv := range a.servers() {
		p := ports{tls: len(srv.TLSConnPolicies) > 0}
		for _, l := range srv.Listen {
			if addr, err := caddy.ParseNetworkAddress(l); err == nil {
				p.listen = append(p.listen, addr)
			}
		}
		(&hostWalk{hostSet: &s, ports: p}).routes(proxies{named: srv.NamedRoutes}, srv.Routes, nil)
	}
	return s
}

type hostWalk struct {
	*hostSet
	ports ports
}

// routes collects the hosts of every gate below; hosts are those of the route around.
func (w *hostWalk) routes(n proxies, routes caddyhttp.RouteList, hosts []string) {
	for _, r := range routes {
		here := hosts
		if own := namesOf(r); own != nil {
			here = own
		}
		for _, h := range r.Handlers {
			if p, ok := h.(*Protect); ok && !p.Base && !p.Off {
				w.gate(p, here)
			}
			w.routes(n.inside(h), n.routesOf(h), here)
		}
	}
}

func (w *hostWalk) gate(p *Protect, hosts []string) {
	if p.scheme != "" {
		w.origins[p.scheme+"://"+p.host] = true
		return // it answers as this address, whatever it is called
	}
	if len(hosts) == 0 {
		w.open = append(w.open, p.Source)
	}
	for _, h := range hosts {
		if strings.ContainsAny(h, "*{}") {
			w.open = append(w.open, h)
			continue
		}
		h = strings.Trim(strings.TrimRight(strings.ToLower(h), "."), "[]")
		w.hosts[h] = append(w.hosts[h], w.ports)
	}
}

// namesOf are the hosts that a route asks for; nil if it asks for none.
func namesOf(r caddyhttp.Route) []string {
	if h := hostsOf(r); h != "" {
		return strings.Split(h, ", ")
	}
	return nil
}
