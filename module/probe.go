package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// probe asks the site's own routes which gate would judge an address: the
// client never names the flow, it follows from where it wants to go (I01).
type probe struct{ found *Protect }

// gateOf finds the protect that judges a path on this site. With one flow
// there is nothing to ask.
func (v *visit) gateOf(path string) (*Protect, error) {
	if !v.p.Base && !v.p.Off && len(v.app.loginFlows()) == 1 {
		return v.p, nil
	}
	if pr := v.askRoutes(path); pr.found != nil {
		return pr.found, nil
	}
	// An address that nothing protects: a login on purpose runs the only or the default flow.
	name := ImplicitFlow
	if names := v.app.loginFlows(); len(names) == 1 {
		name = names[0]
	}
	prog, ok := v.app.programs[name]
	if !ok {
		return nil, fmt.Errorf("no protect covers %s, and no flow is called 'default'", path)
	}
	p := &Protect{ProtectConfig: ProtectConfig{Flow: name, Source: v.p.Source}, gate: &gate{app: v.app, program: prog}}
	p.gate.gate.Flow, p.gate.gate.Digest = name, prog.Digest
	return p, nil
}

// askRoutes runs the site's routes for a GET of the path. Its context is cancelled
// already: a handler that is no gate of ours cannot send anything anywhere.
func (v *visit) askRoutes(path string) *probe {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return new(probe)
	}
	if i := sessionParameter(u.Path); i >= 0 {
		u.Path, u.RawPath = u.Path[:i], ""
	}
	return v.askRoutesAs(&http.Request{
		Method: http.MethodGet, URL: u, Header: http.Header{"Accept": {"text/html"}},
		Host: v.r.Host, RemoteAddr: v.r.RemoteAddr, TLS: v.r.TLS, RequestURI: path,
	})
}

// askRoutesAs is askRoutes for a request of any kind, which is left as it is.
func (v *visit) askRoutesAs(like *http.Request) *probe {
	pr := new(probe)
	srv, ok := v.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return pr
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(v.r.Context()))
	cancel()
	u := *like.URL
	r := (&http.Request{
		Method: like.Method, URL: &u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: like.Header.Clone(),
		Body: http.NoBody, Host: like.Host, RemoteAddr: like.RemoteAddr, TLS: like.TLS, RequestURI: like.RequestURI,
	}).WithContext(ctx)
	w := &nowhere{h: http.Header{}}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, srv)
	caddyhttp.SetVar(r.Context(), visitVar, pr)
	end := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	routes := srv.Routes
	if thinks(ctx) != nil {
		routes = quiet{named: srv.NamedRoutes}.routes(routes)
	}
	if err := routes.Compile(end).ServeHTTP(w, r); err != nil && pr.found == nil && !errors.Is(err, context.Canceled) {
		return pr
	}
	return pr
}

// answerProbe: a gate says that it is the one; a base lets the question pass.
func (p *Protect) answerProbe(pr *probe, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if pr.found != nil {
		return nil
	}
	if p.Base || p.Off {
		return next.ServeHTTP(w, r)
	}
	pr.found = p
	return nil
}

// nowhere throws an answer away, but for its status.
type nowhere struct {
	h      http.Header
	status int
}

func (n *nowhere) Header() http.Header { return n.h }

func (n *nowhere) Write(b []byte) (int, error) {
	n.WriteHeader(http.StatusOK)
	return len(b), nil
}

func (n *nowhere) WriteHeader(status int) {
	if n.status == 0 {
		n.status = status
	}
}
