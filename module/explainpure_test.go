package module_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// world is all that a request could leave a trace in.
type world struct {
	writes, asked, letters int64
	trail                  string
	cached                 int
	held                   int64
	metrics                map[string]float64
	upstream               int
}

// Explaining writes, consumes, sends and mints nothing, whatever flow it thinks through;
// the call of the admin API is one event of the trail and no more (I26).
func TestI26ExplainIsPure(t *testing.T) {
	newClock(t)
	mailbox(t, nil)
	var asked atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"allow":true,"department":"it"}`))
	}))
	t.Cleanup(service.Close)
	t.Setenv("EXPLAIN_SECRET", "0123456789abcdef0123456789abcdef")
	global := phones(t) + "factor totp\nfactor recovery\n" + flakyLine +
		"directory hr http {\nurl " + service.URL + "\nquery q {value}\n}\n" +
		"flow staff {\nlogin corp\nlookup hr {\nby q {user.name}\nattribute dept department\n}\nnotify mail {\nto {user.email}\nsubject x\ntext y\n}\n" +
		"consent terms 1 {\ntext \"Be kind.\"\n}\nwhen `\"never\" in user.groups` {\nchoose {\noption a\noption b\n}\n}\nmfa email totp recovery {\nremember 30d\nenroll allow\n}\n}\n" +
		"flow open {\nlogin corp\n}\nflow strict {\nlogin corp\nmfa email totp recovery {\nremember 30d\n}\n}\n"
	site := "protect /o* open {\nassertion\nheaders siteminder\nheader X-Key {user.key}\nrequire /o/json `request.json.a == 1`\nstep_up /o/pay {\nonce\n}\n}\nprotect /s* strict\nprotect staff {\nassertion\n}\nreverse_proxy {APP}"
	g := withAdmin(t, global, site)
	b := g.signedIn("/o/x", "alice", "alicepw")
	id := g.events("login", 1)[0]["session"].(string)
	app := theApp(t)
	look := func() world {
		letters.Lock()
		n := len(letters.got)
		letters.Unlock()
		trail, err := os.ReadFile(g.audit)
		if err != nil {
			t.Fatal(err)
		}
		m := g.scrape()
		maps.DeleteFunc(m, func(name string, _ float64) bool { return strings.HasPrefix(name, "sallyport_store_") })
		return world{
			writes: flaky.writes.Load(), asked: asked.Load(), letters: int64(n), trail: string(trail),
			cached: app.Cached(), held: app.HeldBytes(), metrics: m, upstream: len(g.app.requests()),
		}
	}
	cases := []module.ExplainCase{}
	known := map[string]flows.Attributes{"hr": {"department": "it"}}
	for _, user := range []*module.ExplainUser{
		nil, {Key: "corp:alice"}, {Key: "corp:bob"},
		{Attributes: map[string]any{"name": "eve", "email": "eve@example.test", "groups": []any{"never"}}},
	} {
		for _, url := range []string{"/", "/o/x", "/o/json", "/o/pay", "/s", "/a//b", "/.identity/logout"} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				cases = append(cases, module.ExplainCase{URL: g.url(url), Method: method, User: user, Lookups: known, JSON: []byte(`{"a":1}`)},
					module.ExplainCase{URL: g.url(url), Method: method, User: user, Lookups: known, Factors: []string{"totp"}, Flows: []string{"open"}, Device: module.ExplainDevice{Trusted: true}})
			}
		}
	}
	cases = append(cases, module.ExplainCase{URL: g.url("/o/x"), Session: id}, module.ExplainCase{URL: g.url("/"), Session: id, Lookups: known})
	before := look()
	seen := map[string]int{}
	for _, c := range cases {
		e, err := app.Explain(t.Context(), c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		seen[e.Decision]++
		for _, h := range e.Headers {
			if h.Name == "X-Identity-Assertion" && !strings.HasPrefix(h.Value, "JWT, ") {
				t.Errorf("a token is shown: %s", h.Value)
			}
		}
	}
	after := look()
	t.Logf("%d cases: %v", len(cases), seen)
	if before.writes != after.writes || before.asked != after.asked || before.letters != after.letters || before.trail != after.trail ||
		before.cached != after.cached || before.held != after.held || before.upstream != after.upstream {
		t.Errorf("explaining left a trace:\n%+v\n%+v", before, after)
	}
	for name, v := range after.metrics {
		if before.metrics[name] != v {
			t.Errorf("%s was %v, is %v", name, before.metrics[name], v)
		}
	}
	for _, d := range []string{"allowed", "denied", "login_needed", "factor_asked", "asked", "step_up_needed", "own_page"} {
		if seen[d] == 0 {
			t.Errorf("no case was %s: %v", d, seen)
		}
	}

	status, out := admin(t, http.MethodPost, "/identity/explain", `{"url":"`+g.url("/o/x")+`","session":"`+id+`"}`)
	if status != http.StatusOK || out["decision"] != "allowed" {
		t.Errorf("%d %v", status, out)
	}
	token := header(g.open(b, g.url("/o/x")).Body, "X-Identity-Assertion")
	if told := fmt.Sprintf("JWT, %d bytes", len(token[0])); !strings.Contains(fmt.Sprint(out["headers"]), told) {
		t.Errorf("a token of %s is told as %v", told, out["headers"])
	}
	if n := g.count("admin"); n != 1 {
		t.Errorf("%d events of one call", n)
	}
	for body, want := range map[string]string{
		`{`: "reading the case", `{"url":"x"}`: "url is an address", `{"url":"http://h/","usr":1}`: "unknown field", `{"url":"http://h/"} {}`: "something follows",
		`{"url":"http://h/","session":"nosuch"}`: "no session has the id", `{"url":"http://h/","user":"nobody"}`: "of no provider's realm",
		`{"url":"http://h/","user":{"name":"x"},"flows":["nosuch"]}`:   "no flow is called 'nosuch'",
		`{"url":"http://h/","user":{"name":"x"},"factors":["nosuch"]}`: "no factor 'nosuch'",
		`{"url":"http://h/","user":{"name":7}}`:                        "user.name is a text",
		`{"url":"http://h/","address":"x"}`:                            "IP address",
	} {
		if status, out := admin(t, http.MethodPost, "/identity/explain", body); status != http.StatusBadRequest || !strings.Contains(out["error"].(string), want) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	if before.asked == asked.Load() { // a lookup without an answer in the case reads outside
		if _, err := app.Explain(t.Context(), module.ExplainCase{URL: g.url("/"), User: &module.ExplainUser{Key: "corp:alice"}}); err != nil || asked.Load() == before.asked {
			t.Errorf("%v, asked %d", err, asked.Load())
		}
	}
	want(t, g.open(b, g.url("/o/x")), http.StatusOK)
}
