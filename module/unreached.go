package module

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// warnUnreached names every site whose people are sent to a login that its routes
// do not lead to: a protect inside handle or route covers that block only.
func (a *App) warnUnreached() {
	for _, u := range a.unreached() {
		a.log.Warn("nobody can sign in here: /.identity/ is reached by no protect of the site; add `protect off` to it",
			zap.String("server", u.server), zap.Strings("listen", u.listen), zap.String("site", u.site), zap.String("protect", u.at.Source))
	}
}

// unreachable is a site without our addresses, and a protect of it.
type unreachable struct {
	server string
	listen []string
	site   string
	at     *Protect
}

func (a *App) unreached() (found []unreachable) {
	servers := a.servers()
	for _, name := range orderOf(nil, servers) {
		srv := servers[name]
		n := proxies{named: srv.NamedRoutes}
		for _, r := range srv.Routes {
			site := hostsOf(r)
			at := n.gateIn(caddyhttp.RouteList{r})
			if at == nil {
				continue
			}
			req := ownAddress(srv, site)
			if n.leadTo(caddyhttp.RouteList{r}, req) || n.leadTo(srv.Routes, req) {
				continue
			}
			found = append(found, unreachable{name, srv.Listen, site, at})
		}
	}
	return found
}

// ownAddress is a request for the gateway's pages on a site.
func ownAddress(srv *caddyhttp.Server, site string) *http.Request {
	host, _, _ := strings.Cut(site, ", ")
	host = strings.ReplaceAll(host, "*", "any")
	if host == "" {
		host = "localhost"
	}
	r, err := http.NewRequest(http.MethodGet, "http://localhost/.identity/flow", http.NoBody) //nolint:noctx // is never sent
	if err != nil {
		panic(err) // a constant
	}
	r.Host, r.RequestURI = host, r.URL.RequestURI()
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), &nowhere{h: http.Header{}}, srv)
}

// gateIn finds a gate anywhere in routes.
func (n proxies) gateIn(routes caddyhttp.RouteList) *Protect {
	for _, r := range routes {
		for _, h := range r.Handlers {
			if p, ok := h.(*Protect); ok && !p.Base && !p.Off {
				return p
			}
			if p := n.inside(h).gateIn(n.routesOf(h)); p != nil {
				return p
			}
		}
	}
	return nil
}

// leadTo reports whether a request comes to a protect, by hosts and paths alone:
// what other matchers say depends on who asks, so they count as matching.
func (n proxies) leadTo(routes caddyhttp.RouteList, req *http.Request) bool {
	taken := map[string]bool{}
	for _, r := range routes {
		if r.Group != "" && taken[r.Group] || !mayTake(r, req) {
			continue
		}
		taken[r.Group] = true
		for _, h := range r.Handlers {
			if _, ok := h.(*Protect); ok || n.inside(h).leadTo(n.routesOf(h), req) {
				return true
			}
		}
		if r.Terminal {
			return false
		}
	}
	return false
}

// routesOf are the routes in a handler that has some.
func (n proxies) routesOf(h caddyhttp.MiddlewareHandler) caddyhttp.RouteList {
	switch h := h.(type) {
	case *caddyhttp.Subroute:
		return h.Routes
	case *caddyhttp.Invoke:
		if r := n.named[h.Name]; r != nil && n.depth < 8 {
			return caddyhttp.RouteList{*r}
		}
	}
	return nil
}

// inside counts the named routes on the way, which may invoke themselves.
func (n proxies) inside(h caddyhttp.MiddlewareHandler) proxies {
	if _, ok := h.(*caddyhttp.Invoke); ok {
		n.depth++
	}
	return n
}

func mayTake(r caddyhttp.Route, req *http.Request) bool {
	for _, set := range r.MatcherSets {
		if mayMatch(set, req) {
			return true
		}
	}
	return len(r.MatcherSets) == 0
}

func mayMatch(set caddyhttp.MatcherSet, req *http.Request) bool {
	for _, m := range set {
		var hit bool
		var err error
		switch m := m.(type) {
		case caddyhttp.MatchPath:
			hit, err = m.MatchWithError(req)
		case *caddyhttp.MatchPath:
			hit, err = m.MatchWithError(req)
		case caddyhttp.MatchHost:
			hit, err = m.MatchWithError(req)
		case *caddyhttp.MatchHost:
			hit, err = m.MatchWithError(req)
		default:
			continue
		}
		if err == nil && !hit {
			return false
		}
	}
	return true
}
