package module

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnShadowed names every protect that judges nothing: the first that takes a request
// decides, and one without a matcher stands before it. What it asks for would be
// missed without a word.
func (a *App) warnShadowed() {
	servers := a.servers()
	for _, name := range orderOf(nil, servers) {
		srv := servers[name]
		for _, s := range (proxies{named: srv.NamedRoutes}).shadowed(srv.Routes, nil) {
			a.log.Warn("this protect judges nothing: the one before it takes every request; write both as one, or give the first a matcher",
				zap.String("server", name), zap.String("protect", s.p.Source), zap.String("before", s.by.Source))
		}
	}
}

// shadow is a protect that comes to nothing, and the one that takes its requests.
type shadow struct{ p, by *Protect }

// shadowed walks routes in their order; by takes every request before them, or is nil.
func (n proxies) shadowed(routes caddyhttp.RouteList, by *Protect) (found []shadow) {
	for _, r := range routes {
		here := by // what else stands in this route comes behind its own protect
		for _, h := range r.Handlers {
			p, ok := h.(*Protect)
			switch {
			case !ok:
				found = append(found, n.inside(h).shadowed(n.routesOf(h), here)...)
			case p.Base || p.Off:
			case here != nil:
				found = append(found, shadow{p, here})
			default:
				here = p
			}
		}
		if len(r.MatcherSets) == 0 && r.Group == "" { // of a group only one route runs
			by = here
		}
	}
	return found
}
