package module

import (
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
)

// warnByPassed names every proxy that can be reached without base: there a
// client's forged identity headers would arrive.
func (a *App) warnByPassed() {
	for name, srv := range a.servers() {
		for _, p := range proxiesOf(srv) {
			if p.covered {
				continue
			}
			a.log.Warn("a proxy can be reached without protect: identity headers of clients are not stripped there; add protect or `protect off`",
				zap.String("server", name), zap.Strings("listen", srv.Listen), zap.String("site", p.site), zap.String("upstream", p.upstream))
		}
	}
}

// proxiesOf are all proxies of a server.
func proxiesOf(srv *caddyhttp.Server) []proxied {
	found := proxies{named: srv.NamedRoutes}.all(srv.Routes, proxied{})
	if srv.Errors != nil {
		// Caddy may refuse a request before any route, and then runs these with
		// the headers as the client sent them.
		found = append(found, proxies{named: srv.NamedRoutes}.all(srv.Errors.Routes, proxied{})...)
	}
	return found
}

// servers are the http servers of this config, by name.
func (a *App) servers() map[string]*caddyhttp.Server {
	v, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil
	}
	app, ok := v.(*caddyhttp.App)
	if !ok {
		return nil
	}
	return app.Servers
}

// proxied is a proxy and what stands before it: covered, a base that runs for every
// request that gets there; gate, a protect that may have headers written for it.
type proxied struct {
	site, upstream string
	covered        bool
	gate           *Protect
}

// proxies looks for proxies, in named routes, too.
type proxies struct {
	named map[string]*caddyhttp.Route
	depth int
}

// all walks routes in their order; at is what is known before them.
func (n proxies) all(routes caddyhttp.RouteList, at proxied) []proxied {
	var out []proxied
	for _, r := range routes {
		here := at
		if h := hostsOf(r); h != "" {
			here.site = h
		}
		for _, h := range r.Handlers {
			switch h := h.(type) {
			case *Protect:
				here.covered = true
				if !h.Base && !h.Off {
					here.gate, at.gate = h, h
				}
			case *caddyhttp.Subroute:
				out = append(out, n.all(h.Routes, here)...)
			case *caddyhttp.Invoke:
				if r := n.named[h.Name]; r != nil && n.depth < 8 {
					n := proxies{n.named, n.depth + 1}
					out = append(out, n.all(caddyhttp.RouteList{*r}, here)...)
				}
			case *reverseproxy.Handler:
				here.upstream = dials(h)
				out = append(out, here)
			}
		}
		if here.covered && len(r.MatcherSets) == 0 && r.Group == "" { // of a group only one route runs
			at.covered = true
		}
	}
	return out
}

func hostsOf(r caddyhttp.Route) string {
	var hosts []string
	for _, set := range r.MatcherSets {
		for _, m := range set {
			switch h := m.(type) {
			case caddyhttp.MatchHost:
				hosts = append(hosts, h...)
			case *caddyhttp.MatchHost:
				hosts = append(hosts, *h...)
			}
		}
	}
	return strings.Join(hosts, ", ")
}

func dials(h *reverseproxy.Handler) string {
	var d []string
	for _, u := range h.Upstreams {
		d = append(d, u.Dial)
	}
	if len(d) == 0 {
		return "dynamic"
	}
	return strings.Join(d, ", ")
}
