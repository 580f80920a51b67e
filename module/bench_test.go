package module_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/module"
)

// gates finds the gates of the running config.
func gates(tb testing.TB) []*module.Protect {
	tb.Helper()
	v, err := caddy.ActiveContext().AppIfConfigured("http")
	if err != nil {
		tb.Fatal(err)
	}
	var out []*module.Protect
	var walk func(caddyhttp.RouteList)
	walk = func(rs caddyhttp.RouteList) {
		for _, r := range rs {
			for _, h := range r.Handlers {
				switch h := h.(type) {
				case *caddyhttp.Subroute:
					walk(h.Routes)
				case *module.Protect:
					if !h.Base {
						out = append(out, h)
					}
				}
			}
		}
	}
	for _, s := range v.(*caddyhttp.App).Servers {
		walk(s.Routes)
	}
	return out
}

// handler returns one signed-in request through a gate alone, to be called again and again.
func handlerAlone(tb testing.TB, site string) func() {
	g := start(tb, people(tb), site)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(tb, g, b)
	p := gates(tb)[0]
	r := httptest.NewRequest(http.MethodGet, g.url("/a"), nil)
	r.Header = http.Header{
		"Accept": {"text/html"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}, "Cookie": {"app=1; " + c.Name + "=" + c.Value + "; other=2"},
	}
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	vars := map[string]any{caddyhttp.ClientIPVarKey: "127.0.0.1", caddyhttp.TrustedProxyVarKey: false}
	ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, vars)
	ctx, cancel := context.WithCancel(ctx) // as net/http's own
	tb.Cleanup(cancel)
	r = r.WithContext(ctx)
	cookie := r.Header["Cookie"]
	served := 0
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		served++
		w.WriteHeader(http.StatusOK)
		return nil
	})
	w := &sink{h: http.Header{}}
	return func() {
		delete(vars, "identity.visit")
		clear(w.h)
		// What the gate changed is undone: the request is a new one each time.
		for _, k := range []string{"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups"} {
			delete(r.Header, k)
		}
		r.Header["Cookie"] = cookie
		was := served
		if err := p.ServeHTTP(w, r, next); err != nil || served != was+1 {
			tb.Fatalf("not served: %v, %v", err, w.h)
		}
	}
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

const threeHeaders = "protect {\nheaders remote_user\n}\nreverse_proxy {APP}"

func BenchmarkHandlerCachedSession(b *testing.B) {
	serve := handlerAlone(b, threeHeaders)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

func BenchmarkHandlerWithPolicy(b *testing.B) {
	serve := handlerAlone(b, "protect {\nheaders remote_user\nrequire /a `\"admins\" in user.groups`\n}\nreverse_proxy {APP}")
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
