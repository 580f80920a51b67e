package module_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// withAdmin is a gateway whose admin endpoint listens.
func withAdmin(t testing.TB, global, site string) *gateway {
	t.Helper()
	g := start(t, global, site)
	g.admin = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	if err := g.load(global, site); err != nil {
		t.Fatal(err)
	}
	return g
}

// What we publish is what Prometheus' own parser reads: each family once, with a type and
// a sentence, and no name twice with the same labels.
func TestMetricsAsPrometheusReadsThem(t *testing.T) {
	g := withAdmin(t, people(t), plainSite)
	g.signedIn("/a", "alice", "alicepw")
	g.signIn(browser.New(), "/a", "alice", "wrong")
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustRequest(t, "http://"+g.admin+"/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for name, f := range families {
		if !strings.HasPrefix(name, "sallyport_") {
			continue
		}
		ours++
		if f.GetHelp() == "" || f.GetType() == dto.MetricType_UNTYPED {
			t.Errorf("%s has the type %s and the help %q", name, f.GetType(), f.GetHelp())
		}
		seen := map[string]bool{}
		for _, m := range f.GetMetric() {
			labels := fmt.Sprint(m.GetLabel())
			if seen[labels] {
				t.Errorf("%s%s is there twice", name, labels)
			}
			seen[labels] = true
		}
	}
	if ours < 10 {
		t.Errorf("%d families of ours", ours)
	}
}

// scrape reads our series from Caddy's admin endpoint, as Prometheus would.
func (g *gateway) scrape() map[string]float64 {
	g.t.Helper()
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustRequest(g.t, "http://"+g.admin+"/metrics"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		g.t.Fatalf("/metrics: %s %v\n%s", res.Status, err, text)
	}
	out := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		if i := strings.LastIndexByte(l, '}'); i > 0 {
			name, value = l[:i+1], strings.TrimSpace(l[i+1:])
		}
		if !strings.HasPrefix(name, "sallyport_") {
			continue
		}
		if out[name], err = strconv.ParseFloat(value, 64); err != nil {
			g.t.Fatalf("%q: %v", l, err)
		}
	}
	if len(out) == 0 {
		g.t.Fatalf("none of our metrics:\n%s", text)
	}
	return out
}

func mustRequest(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rose fails unless exactly these series rose, by these amounts, since before;
// those whose names begin with a prefix in free may do as they like.
func (g *gateway) rose(before map[string]float64, wanted map[string]float64, free ...string) map[string]float64 {
	g.t.Helper()
	after := g.scrape()
	for name := range after {
		if slices.ContainsFunc(free, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if got := after[name] - before[name]; got != wanted[name] {
			g.t.Errorf("%s rose by %v, want %v", name, got, wanted[name])
		}
	}
	for name := range wanted {
		if _, ok := after[name]; !ok {
			g.t.Errorf("there is no %s; there are %v", name, slices.Sorted(maps.Keys(after)))
		}
	}
	return after
}

const (
	begun   = "sallyport_logins_begun_total"
	active  = "sallyport_sessions_active"
	storeOf = "sallyport_store_operation_seconds"
)

func logins(outcome, provider, reason, step string) string {
	return fmt.Sprintf(`sallyport_logins_total{outcome=%q,provider=%q,reason=%q,step=%q}`, outcome, provider, reason, step)
}

func TestB30MetricsAtTheAdminEndpoint(t *testing.T) {
	op := newOP(t)
	global := people(t) + asked(t, "idp", op) + adminPolicy + flakyLine
	site := "protect {\nheaders siteminder\nrequire /admin/* admins\n}\nreverse_proxy {APP}"
	g := withAdmin(t, global, site)
	until(t, "the provider is known to be up", func() bool { return g.scrape()[`sallyport_provider_up{provider="idp"}`] == 1 })
	seen := g.scrape()

	form := "/.identity/login?provider=corp&return_to=/a"
	bob := newBrowser(t)
	f, err := g.open(bob, g.url(form)).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	again := g.submitOnly(bob, f, "bob", "wrong-password")
	if f, err = again.FormWith("username"); err != nil {
		t.Fatal(err)
	}
	seen = g.rose(seen, map[string]float64{begun: 1, `sallyport_tries_refused_total{reason="bad_credentials"}`: 1}, storeOf)
	want(t, g.submitOnly(bob, f, "bob", "bobpw"), http.StatusSeeOther)
	if n := g.scrape()[storeOf+`_count{operation="create",outcome="ok"}`] - seen[storeOf+`_count{operation="create",outcome="ok"}`]; n < 1 {
		t.Errorf("a login made %v entries in the store", n)
	}
	g.rose(seen, map[string]float64{logins("granted", "corp", "", ""): 1, active: 1}, storeOf)

	// What is let through counts nothing and does not ask the store.
	want(t, g.open(bob, g.url("/a")), http.StatusOK)
	until(t, "activity is written", func() bool { return g.scrape()[storeOf+`_count{operation="update",outcome="ok"}`] > 0 })
	seen = g.scrape()
	for range 5 {
		want(t, g.open(bob, g.url("/a")), http.StatusOK)
	}
	seen = g.rose(seen, nil)

	want(t, g.open(bob, g.url("/admin/x")), http.StatusForbidden)
	seen = g.rose(seen, map[string]float64{`sallyport_denials_total{reason="not_allowed"}`: 1})

	// Refused by the provider, and a provider that is down.
	op.SetMode("access-denied")
	asked := "/.identity/login?provider=idp&return_to=/a"
	want(t, g.open(newBrowser(t), g.url(asked)), http.StatusForbidden)
	g.rose(seen, map[string]float64{begun: 1, logins("denied", "idp", "provider_refused", "login"): 1}, storeOf)
	op.SetMode("token-500")
	g.open(newBrowser(t), g.url(asked))
	until(t, "the provider is known to be down", func() bool { return g.scrape()[`sallyport_provider_up{provider="idp"}`] == 0 })
	op.SetMode("")
	until(t, "the provider is known to be up again", func() bool { return g.scrape()[`sallyport_provider_up{provider="idp"}`] == 1 })
	seen = g.scrape()

	// The store down: nobody is refused for it in silence.
	up := storeDown(t)
	unknown := fmt.Sprintf("sallyport-%d=%s", g.port, strings.Repeat("A", 43))
	want(t, g.get("/a", unknown), http.StatusServiceUnavailable)
	up()
	seen = g.rose(seen, map[string]float64{
		`sallyport_denials_total{reason="store_unavailable"}`:     1,
		storeOf + `_count{operation="get",outcome="unavailable"}`: 1,
	}, storeOf+"_bucket", storeOf+"_sum")

	want(t, g.leave(bob), http.StatusOK)
	g.rose(seen, map[string]float64{`sallyport_sessions_ended_total{reason="logout"}`: 1, active: -1}, storeOf)
	for name := range g.scrape() {
		for _, word := range []string{"bob", "alice", "127.0.0.1", "localhost", "/a", "admin/"} {
			if strings.Contains(name, word) {
				t.Errorf("%s tells %q", name, word)
			}
		}
	}
}

func TestB30MetricsSurviveReload(t *testing.T) {
	g := withAdmin(t, people(t)+flakyLine, plainSite)
	g.signedIn("/a", "alice", "alicepw")
	before := g.scrape()
	if before[logins("granted", "corp", "", "")] != 1 || before[active] != 1 {
		t.Fatalf("one login: %v", before)
	}
	free := []string{storeOf} // activity may be written at any moment
	// A config that is only validated, and ones that are refused early and late.
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people(t), plainSite)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var parsed caddy.Config
		if err := caddy.StrictUnmarshalJSON(cfg, &parsed); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&parsed); err != nil {
			t.Fatalf("validating: %v", err)
		}
		g.rose(before, nil, free...)
	}
	if err := g.load(people(t)+"policy p `nonsense(`\n", plainSite); err == nil {
		t.Fatal("a broken config was loaded")
	}
	g.rose(before, nil, free...)
	if err := g.load(people(t), "protect nosuch\nreverse_proxy {APP}"); err == nil {
		t.Fatal("a broken config was loaded")
	}
	g.rose(before, nil, free...)
	for i := range 3 {
		if err := g.load(people(t)+flakyLine, plainSite+fmt.Sprintf("\nheader X-Generation %d", i)); err != nil {
			t.Fatal(err)
		}
		g.rose(before, nil, free...)
	}
	// And they go on from there.
	g.signedIn("/a", "bob", "bobpw")
	g.rose(before, map[string]float64{begun: 1, logins("granted", "corp", "", ""): 1, active: 1}, free...)
}

// Strangers make requests, not series.
func TestB30MetricsHaveFewSeries(t *testing.T) {
	op := newOP(t)
	g := withAdmin(t, people(t)+asked(t, "idp", op)+flakyLine, plainSite)
	round := func(i int) {
		host, odd := fmt.Sprintf("h%d.example.com", i), fmt.Sprintf("odd%d", i)
		for _, path := range []string{
			"/" + odd, "/x/%2e%2e/" + odd, "/.identity/login?provider=" + odd, "/.identity/callback/" + odd, "/.identity/" + odd,
			"/.identity/callback/idp?code=" + odd + "&state=" + odd, "/.identity/callback/idp?error=" + odd + "&error_description=" + odd,
		} {
			g.raw(http.MethodGet, path, "", "User-Agent", odd, "Accept", "text/html", "X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i))
			g.raw(http.MethodGet, path, "", "Host", host)
		}
		g.raw(http.MethodPost, "/.identity/backchannel-logout/"+odd, "logout_token="+odd, "Content-Type", "application/x-www-form-urlencoded")
		g.raw(http.MethodPost, "/.identity/backchannel-logout/idp", "logout_token="+odd, "Content-Type", "application/x-www-form-urlencoded")
		// An error of the provider's own words, at a login that is ours.
		op.SetUser(person("u-"+odd, odd))
		b := newBrowser(t)
		back := g.answer(g.away(b, "/.identity/login?provider=idp&return_to=/"+odd))
		g.send(b, browser.Request{URL: with(back, "code", "", "error", odd, "error_description", odd)})
		g.open(b, g.url("/.identity/login?provider=idp&return_to=/"+odd))
	}
	series := func() []string { // an operation of the store may have another outcome for the first time
		return slices.DeleteFunc(slices.Sorted(maps.Keys(g.scrape())), func(s string) bool { return strings.HasPrefix(s, storeOf) })
	}
	round(0)
	few := series()
	for i := range 15 {
		round(i + 1)
	}
	if many := series(); !slices.Equal(many, few) {
		t.Errorf("series of one stranger %v, of more %v", few, many)
	}
	after := g.scrape()
	if len(after) > 300 {
		t.Errorf("%d series", len(after))
	}
	for name := range after {
		if strings.Contains(name, "odd") || strings.Contains(name, "example") {
			t.Errorf("%s was made by a stranger", name)
		}
	}
}

func TestB30MetricsOfRenewals(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := withAdmin(t, offline(t, op)+"session {\nidle 12h\n}\n"+flakyLine, groupsSite)
	cookie := g.aliceAt(newBrowser(t))
	for _, tc := range []struct {
		outcome string
		first   func()
		status  int
	}{
		{"renewed", func() {}, http.StatusOK},
		{"failed", func() { op.SetDown(true) }, http.StatusOK},
		{"ended", func() { op.SetDown(false); op.RevokeAll() }, http.StatusSeeOther},
	} {
		series := fmt.Sprintf(`sallyport_refreshes_total{outcome=%q,provider="corp"}`, tc.outcome)
		before := g.scrape()[series]
		tc.first()
		clock.Advance(2 * life)
		want(t, g.get("/x", cookie), tc.status)
		until(t, series, func() bool { return g.scrape()[series] > before })
	}
	if n := g.scrape()[`sallyport_sessions_ended_total{reason="invalid_grant"}`]; n != 1 {
		t.Errorf("%v sessions ended by their provider", n)
	}
}
