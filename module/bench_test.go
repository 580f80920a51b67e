package module_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

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

// alone is one signed-in request to a gate alone: prepare makes the request what
// net/http and Caddy would hand over, serve is what is measured.
type alone struct {
	prepare, serve func()
}

func handlerAlone(tb testing.TB, site string) alone {
	g := start(tb, people(tb), site)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(tb, g, b)
	p := gates(tb)[0]
	template := httptest.NewRequest(http.MethodGet, g.url("/a"), nil)
	template.Header = http.Header{
		"Accept": {"text/html"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}, "Cookie": {"app=1; " + c.Name + "=" + c.Value + "; other=2"},
	}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return nil
	})
	var r *http.Request
	w := &sink{}
	return alone{
		prepare: func() {
			ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
			ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "127.0.0.1", caddyhttp.TrustedProxyVarKey: false})
			ctx, cancel := context.WithCancel(ctx) // as net/http's own
			_ = cancel
			r = template.WithContext(ctx)
			r.Header = template.Header.Clone()
			w.h = http.Header{}
		},
		serve: func() {
			if err := p.ServeHTTP(w, r, next); err != nil || len(r.Header["Remote-User"]) != 1 {
				tb.Fatalf("not served: %v, %v", err, w.h)
			}
		},
	}
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

const threeHeaders = "protect {\nheaders remote_user\n}\nreverse_proxy {APP}"

// measure reports the time in the handler only, without making the request.
func measure(b *testing.B, site string) {
	h := handlerAlone(b, site)
	var in time.Duration
	n := 0
	for b.Loop() {
		h.prepare()
		begin := time.Now()
		h.serve()
		in += time.Since(begin)
		n++
	}
	b.ReportMetric(float64(in.Nanoseconds())/float64(n), "ns/handler")
	b.ReportMetric(allocations(h), "allocs/handler")
}

func allocations(h alone) float64 {
	whole := testing.AllocsPerRun(500, func() { h.prepare(); h.serve() })
	return whole - testing.AllocsPerRun(500, h.prepare)
}

func BenchmarkHandlerCachedSession(b *testing.B) { measure(b, threeHeaders) }

func BenchmarkHandlerWithPolicy(b *testing.B) {
	measure(b, "protect {\nheaders remote_user\nrequire /a `\"admins\" in user.groups`\n}\nreverse_proxy {APP}")
}

// The way of a signed-in request allocates little: what it allocates, the
// collector pays for on every request.
func TestHandlerAllocations(t *testing.T) {
	if got := allocations(handlerAlone(t, threeHeaders)); got > 12 {
		t.Errorf("%.0f allocations in the handler", got)
	}
}
