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
		found := proxies{named: srv.NamedRoutes}.byPassed(srv.Routes, "", false)
		if srv.Errors != nil {
			// Caddy may refuse a request before any route, and then runs these with
			// the headers as the client sent them.
			found = append(found, proxies{named: srv.NamedRoutes}.byPassed(srv.Errors.Routes, "", false)...)
		}
		for _, p := range found {
			a.log.Warn("a proxy can be reached without protect: identity headers of clients are not stripped there; add protect or `protect off`",
				zap.String("server", name), zap.Strings("listen", srv.Listen), zap.String("site", p.site), zap.String("upstream", p.upstream))
		}
	}
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

type proxied struct{ site, upstream string }

// proxies looks for proxies, in named routes, too.
type proxies struct {
	named map[string]*caddyhttp.Route
	depth int
}

// byPassed walks routes in their order. Covered is everything behind a base
// that runs for every request that gets there.
func (n proxies) byPassed(routes caddyhttp.RouteList, site string, covered bool) []proxied {
	var out []proxied
	for _, r := range routes {
		here, inRoute := site, covered
		if h := hostsOf(r); h != "" {
			here = h
		}
		for _, h := range r.Handlers {
			switch h := h.(type) {
			case *Protect:
				inRoute = true
			case *caddyhttp.Subroute:
				out = append(out, n.byPassed(h.Routes, here, inRoute)...)
			case *caddyhttp.Invoke:
				if r := n.named[h.Name]; r != nil && n.depth < 8 {
					n := proxies{n.named, n.depth + 1}
					out = append(out, n.byPassed(caddyhttp.RouteList{*r}, here, inRoute)...)
				}
			case *reverseproxy.Handler:
				if !inRoute {
					out = append(out, proxied{here, dials(h)})
				}
			}
		}
		if inRoute && len(r.MatcherSets) == 0 && r.Group == "" { // of a group only one route runs
			covered = true
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
