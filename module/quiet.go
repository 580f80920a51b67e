package module

import (
	"context"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// quiet copies routes for a request that is only thought through: it takes the way it
// would take, and no handler that does something is run (I26).
type quiet struct {
	named map[string]*caddyhttp.Route
	depth int
	// met hears of a handler that was not run, and whether the request ends there.
	met func(name string, ends bool)
}

// harmless are handlers that change nothing but the request and its variables.
var harmless = []string{"rewrite", "vars", "map", "headers", "static_response", "error"}

// answering are handlers that answer; what stands behind them is not asked.
var answering = []string{"file_server", "acme_server", "metrics", "copy_response"}

func (q quiet) routes(list caddyhttp.RouteList) caddyhttp.RouteList {
	out := make(caddyhttp.RouteList, 0, len(list))
	for _, r := range list {
		c := caddyhttp.Route{Group: r.Group, MatcherSets: r.MatcherSets, Terminal: r.Terminal}
		for _, h := range r.Handlers {
			c.Handlers = append(c.Handlers, q.handler(h))
		}
		// There is nothing to load any more: this lays out the chain.
		if err := c.ProvisionHandlers(caddy.Context{Context: context.Background()}, nil); err != nil {
			continue
		}
		out = append(out, c)
	}
	return out
}

func (q quiet) handler(h caddyhttp.MiddlewareHandler) caddyhttp.MiddlewareHandler {
	name := caddy.GetModuleName(h)
	switch h := h.(type) {
	case *Protect:
		return h
	case *caddyhttp.Subroute:
		return &caddyhttp.Subroute{Routes: q.routes(h.Routes)}
	case *caddyhttp.Invoke:
		if r := q.named[h.Name]; r != nil && q.depth < 8 {
			q.depth++
			return &caddyhttp.Subroute{Routes: q.routes(caddyhttp.RouteList{*r})}
		}
	case *reverseproxy.Handler:
		// With handle_response it may only ask somebody, as forward_auth does.
		return q.unrun(name, len(h.HandleResponse) == 0)
	}
	if slices.Contains(harmless, name) {
		return h
	}
	return q.unrun(name, slices.Contains(answering, name))
}

func (q quiet) unrun(name string, ends bool) caddyhttp.MiddlewareHandler {
	return unrun(func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if q.met != nil {
			q.met(name, ends)
		}
		if ends {
			return nil
		}
		return next.ServeHTTP(w, r)
	})
}

// unrun stands in the place of a handler.
type unrun func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error

func (u unrun) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return u(w, r, next)
}
