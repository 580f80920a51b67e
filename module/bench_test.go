package module_test

import (
	"context"
	"maps"
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

// alone is a gate alone. prepare makes a signed-in request what net/http and
// Caddy would hand over: serve is what is measured, again undoes what it did.
type alone struct{ prepare func() (serve, again func()) }

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
	return alone{func() (serve, again func()) {
		w := &sink{h: http.Header{"Content-Type": {"text/html"}}} // what the application answered
		ctx, cancel := context.WithCancel(context.Background())   // as net/http's own, which Caddy's stand upon
		_ = cancel
		r := caddyhttp.PrepareRequest(template.Clone(ctx), caddy.NewReplacer(), w, server)
		vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
		fresh, cookie := maps.Clone(vars), r.Header["Cookie"]
		serve = func() {
			if err := p.ServeHTTP(w, r, next); err != nil || len(r.Header["Remote-User"]) != 1 {
				tb.Fatalf("not served: %v, %v", err, w.h)
			}
		}
		again = func() {
			for k := range vars {
				if _, ok := fresh[k]; !ok {
					delete(vars, k)
				}
			}
			for k := range r.Header {
				if _, ok := template.Header[k]; !ok {
					delete(r.Header, k)
				}
			}
			r.Header["Cookie"] = cookie
			delete(w.h, "Cache-Control")
		}
		return serve, again
	}}
}

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

const threeHeaders = "protect {\nheaders remote_user\n}\nreverse_proxy {APP}"

// withPolicy is the same with a condition on every request.
const withPolicy = "protect {\nheaders remote_user\nrequire `\"admins\" in user.groups && request.path.startsWith(\"/a\")`\n}\nreverse_proxy {APP}"

// batch is how many requests are served between two looks at the clock, which
// cost a tenth of what is measured. They are made once: making one takes several
// times as long, and its garbage would be collected in what is measured.
const batch = 16

// measure reports the time in the handler only: the mean, the median of the
// batches, which a busy machine moves less, and that of the quickest. What else
// runs on a core slows the handler down by two thirds and a chain of arithmetic by
// nothing; copying a header, a map and what it allocates, suffers as the handler
// does. So it is timed in between, and clones/handler compares machines and hours.
func measure(b *testing.B, site string) {
	h := handlerAlone(b, site)
	var serve, again [batch]func()
	var means, ratios []float64
	var in time.Duration
	var copied http.Header
	for b.Loop() {
		for i := range batch {
			if len(means)%64 == 0 { // each time it is served, a request's replacer grows
				serve[i], again[i] = h.prepare()
			}
			again[i]()
		}
		begin := time.Now()
		for _, f := range serve {
			f()
		}
		took := time.Since(begin)
		begin = time.Now()
		for range batch {
			copied = fourHeaders.Clone()
		}
		ratios = append(ratios, float64(took)/float64(time.Since(begin)))
		in += took
		means = append(means, float64(took.Nanoseconds())/batch)
	}
	if len(copied) != len(fourHeaders) {
		b.Fatal("not copied")
	}
	slices.Sort(means)
	slices.Sort(ratios)
	b.ReportMetric(float64(in.Nanoseconds())/float64(batch*len(means)), "ns/handler")
	b.ReportMetric(means[len(means)/2], "median-ns/handler")
	b.ReportMetric(means[len(means)/20], "quick-ns/handler")
	b.ReportMetric(ratios[len(ratios)/2], "clones/handler")
	b.ReportMetric(allocations(h), "allocs/handler")
}

var fourHeaders = http.Header{"Accept": {"text/html"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}, "Cookie": {"app=1"}}

func allocations(h alone) float64 {
	whole := testing.AllocsPerRun(500, func() { serve, _ := h.prepare(); serve() })
	return whole - testing.AllocsPerRun(500, func() { h.prepare() })
}

func BenchmarkHandlerCachedSession(b *testing.B) { measure(b, threeHeaders) }

func BenchmarkHandlerWithPolicy(b *testing.B) {
	measure(b, withPolicy)
}

func BenchmarkHandlerWithAssertion(b *testing.B) {
	measure(b, "protect {\nheaders remote_user\nassertion {\naudience payroll\n}\n}\nreverse_proxy {APP}")
}

// A condition on every request costs at most two allocations.
func TestHandlerAllocationsOfAPolicy(t *testing.T) {
	without, with := allocations(handlerAlone(t, threeHeaders)), allocations(handlerAlone(t, withPolicy))
	if with-without > 2 {
		t.Errorf("%.0f allocations, %.0f without a condition", with, without)
	}
}

// The way of a signed-in request allocates little: what it allocates, the
// collector pays for on every request.
func TestHandlerAllocations(t *testing.T) {
	for _, site := range []string{threeHeaders, "protect {\nheaders remote_user\nassertion\n}\nreverse_proxy {APP}"} {
		if got := allocations(handlerAlone(t, site)); got > 8 {
			t.Errorf("%.0f allocations in the handler:\n%s", got, site)
		}
	}
}
