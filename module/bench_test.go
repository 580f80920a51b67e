package module_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
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
	return gatesOf(v.(*caddyhttp.App))
}

func gatesOf(app *caddyhttp.App) []*module.Protect {
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
	for _, s := range app.Servers {
		walk(s.Routes)
	}
	return out
}

// alone is a gate alone: prepare makes a signed-in request what net/http and
// Caddy would hand over, and answers what serves it, which is what is measured.
type alone struct{ prepare func() (serve func()) }

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
	server := new(caddyhttp.Server)
	return alone{func() func() {
		w := &sink{h: http.Header{"Content-Type": {"text/html"}}} // what the application answered
		r := template.Clone(context.Background())
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, server)
		ctx, cancel := context.WithCancel(r.Context()) // as net/http's own
		_ = cancel
		r = r.WithContext(ctx)
		return func() {
			if err := p.ServeHTTP(w, r, next); err != nil || len(r.Header["Remote-User"]) != 1 {
				tb.Fatalf("not served: %v, %v", err, w.h)
			}
		}
	}}
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

const threeHeaders = "protect {\nheaders remote_user\n}\nreverse_proxy {APP}"

// batch is how many requests are made before they are served together: reading
// the clock costs a tenth of what is measured.
const batch = 8

// measure reports the time in the handler only, without making the request: the
// mean, and the median of the batches, which a busy machine moves less.
func measure(b *testing.B, site string) {
	h := handlerAlone(b, site)
	var means []float64
	var in time.Duration
	for b.Loop() {
		requests := make([]func(), batch)
		for i := range requests {
			requests[i] = h.prepare()
		}
		begin := time.Now()
		for _, serve := range requests {
			serve()
		}
		took := time.Since(begin)
		in += took
		means = append(means, float64(took.Nanoseconds())/batch)
	}
	slices.Sort(means)
	b.ReportMetric(float64(in.Nanoseconds())/float64(batch*len(means)), "ns/handler")
	b.ReportMetric(means[len(means)/2], "median-ns/handler")
	b.ReportMetric(allocations(h), "allocs/handler")
}

func allocations(h alone) float64 {
	whole := testing.AllocsPerRun(500, func() { h.prepare()() })
	return whole - testing.AllocsPerRun(500, func() { h.prepare() })
}

func BenchmarkHandlerCachedSession(b *testing.B) { measure(b, threeHeaders) }

func BenchmarkHandlerWithPolicy(b *testing.B) {
	measure(b, "protect {\nheaders remote_user\nrequire /a `\"admins\" in user.groups`\n}\nreverse_proxy {APP}")
}

// The way of a signed-in request allocates little: what it allocates, the
// collector pays for on every request.
func TestHandlerAllocations(t *testing.T) {
	if got := allocations(handlerAlone(t, threeHeaders)); got > 8 {
		t.Errorf("%.0f allocations in the handler", got)
	}
}
