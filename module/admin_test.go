package module_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/module"
)

// adminCalls is one call of every kind that the admin API has, by route. {alice} is a
// person who has a session, {other} one of whom nothing is kept.
var adminCalls = map[string][]adminTried{
	"/identity/sessions": {
		{"GET", "/identity/sessions", "", 200},
		{"GET", "/identity/sessions?n=x", "", 400},
		{"DELETE", "/identity/sessions", "", 400},
		{"PUT", "/identity/sessions", "", 405},
	},
	"/identity/sessions/": {{"DELETE", "/identity/sessions/nosuch", "", 404}, {"GET", "/identity/sessions/nosuch", "", 405}},
	"/identity/users": {
		{"GET", "/identity/users?disabled=yes", "", 200}, {"GET", "/identity/users", "", 400}, {"DELETE", "/identity/users", "", 405},
	},
	"/identity/users/": {
		{"GET", "/identity/users/{alice}", "", 200},
		{"GET", "/identity/users/{other}", "", 404},
		{"PUT", "/identity/users/{alice}", "", 405},
		{"DELETE", "/identity/users/{alice}", "", 400},
		{"DELETE", "/identity/users/{other}?erase=yes", "", 404},
		{"GET", "/identity/users/{alice}/factors", "", 200},
		{"DELETE", "/identity/users/{other}/factors", "", 200},
		{"GET", "/identity/users/{alice}/devices", "", 200},
		{"DELETE", "/identity/users/{other}/devices", "", 200},
		{"DELETE", "/identity/users/{alice}/devices/nosuch", "", 404},
		{"GET", "/identity/users/{alice}/devices/nosuch", "", 405},
		{"DELETE", "/identity/users/{other}/sessions", "", 200},
		{"GET", "/identity/users/{other}/sessions", "", 405},
		{"POST", "/identity/users/{other}/disabled", `{"reason":"x"}`, 200},
		{"DELETE", "/identity/users/{other}/disabled", "", 200},
		{"DELETE", "/identity/users/{other}/disabled", "", 404},
		{"POST", "/identity/users/{other}/disabled", `{"why":"x"}`, 400},
		{"POST", "/identity/users/{other}/disabled", `{"reason":"` + strings.Repeat("x", 201) + `"}`, 400},
		{"GET", "/identity/users/{alice}/disabled", "", 405},
		{"GET", "/identity/users/!/factors", "", 400},
		{"GET", "/identity/users/{alice}/nosuch", "", 404},
	},
	"/identity/names/":       {{"DELETE", "/identity/names/" + "bm9ib2R5", "", 404}, {"GET", "/identity/names/x", "", 405}},
	"/identity/audit":        {{"GET", "/identity/audit", "", 200}, {"POST", "/identity/audit", "", 405}},
	"/identity/flows":        {{"GET", "/identity/flows", "", 200}, {"POST", "/identity/flows", "", 405}},
	"/identity/flows/schema": {{"GET", "/identity/flows/schema", "", 200}, {"POST", "/identity/flows/schema", "", 405}},
	"/identity/providers":    {{"GET", "/identity/providers", "", 200}, {"DELETE", "/identity/providers", "", 405}},
	"/identity/explain":      {{"POST", "/identity/explain", `{`, 400}, {"POST", "/identity/explain", `{"url":"x"}`, 400}, {"GET", "/identity/explain", "", 405}},
	"/identity/drills":       {{"POST", "/identity/drills", `{"provider":"nosuch"}`, 400}, {"GET", "/identity/drills", "", 405}},
	"/identity/drills/":      {{"DELETE", "/identity/drills/nosuch", "", 404}, {"POST", "/identity/drills/nosuch", "", 405}},
}

type adminTried struct {
	method, target, body string
	status               int
}

// sent makes the call, and answers with Allow where that matters.
func (c adminTried) sent(t *testing.T) (status int, out map[string]any) {
	t.Helper()
	target := strings.NewReplacer("{alice}", key64("corp:alice"), "{other}", key64("corp:other")).Replace(c.target)
	if c.status == http.StatusMethodNotAllowed && allowed(t, c.method, target) == "" {
		t.Errorf("%s %s: no Allow", c.method, c.target)
	}
	return admin(t, c.method, target, c.body)
}

// allowed is the Allow header of a call.
func allowed(t *testing.T, method, target string) string {
	t.Helper()
	mux := http.NewServeMux()
	for _, route := range (module.AdminAPI{}).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { _ = route.Handler.ServeHTTP(w, r) })
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, target, http.NoBody))
	return w.Header().Get("Allow")
}

// Every call, reading and refused ones too, is an event of the trail, with who it is about (I26).
func TestI26EveryAdminCallIsAnEvent(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	g.signedIn("/a", "alice", "alicepw")
	for _, route := range (module.AdminAPI{}).Routes() {
		calls := adminCalls[route.Pattern]
		if len(calls) == 0 {
			t.Errorf("%s is not in the table: add its calls", route.Pattern)
		}
		for _, c := range calls {
			before := g.count("admin")
			status, out := c.sent(t)
			if status != c.status {
				t.Errorf("%s %s: want %d, got %d %v", c.method, c.target, c.status, status, out)
			}
			if text, _ := out["error"].(string); (status >= 400) != (text != "") {
				t.Errorf("%s %s: %d with the error %q", c.method, c.target, status, text)
			}
			more := 1
			if c.status == http.StatusMethodNotAllowed {
				more = 2 // it was made twice
			}
			e := g.events("admin", before+more)
			last := e[len(e)-1]
			path, _, _ := strings.Cut(strings.NewReplacer("{alice}", key64("corp:alice"), "{other}", key64("corp:other")).Replace(c.target), "?")
			if len(e) != before+more || last["method"] != c.method || last["path"] != path {
				t.Errorf("%s %s: %d events, the last is %v", c.method, c.target, len(e)-before, last)
			}
			for who, key := range map[string]string{"{alice}": "corp:alice", "{other}": "corp:other"} {
				known := c.status == http.StatusOK || c.status == http.StatusNotFound && c.target != "/identity/users/{alice}/nosuch"
				if strings.Contains(c.target, who) && known && last["user"] != key {
					t.Errorf("%s %s: the event is about %v", c.method, c.target, last["user"])
				}
			}
		}
	}
}

// Without a trail nothing is told and nothing granted; what takes away goes on (I25).
func TestI25AdminCallsWithoutATrail(t *testing.T) {
	start(t, people(t)+flakyLine+"audit broken\n", plainSite)
	mend := sinkBreaks(t)
	takes := []string{"/devices", "/sessions", "/disabled"}
	for _, calls := range adminCalls {
		for _, c := range calls {
			if c.status != http.StatusOK {
				continue
			}
			taking := c.method == http.MethodPost || c.method == http.MethodDelete && slices.ContainsFunc(takes, func(s string) bool { return strings.HasSuffix(c.target, s) })
			if c.method == http.MethodDelete && strings.HasSuffix(c.target, "/disabled") {
				taking = false // it lets somebody in
			}
			status, out := c.sent(t)
			if want := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}[taking]; status != want {
				t.Errorf("%s %s without a trail: want %d, got %d %v", c.method, c.target, want, status, out)
			}
		}
	}
	mend()
	_, out := admin(t, http.MethodGet, "/identity/users?disabled=yes")
	if len(out["users"].([]any)) != 1 {
		t.Errorf("disabled without a trail: %v", out)
	}
}

// A store that is down is said to be, and no half answer given (I16).
func TestAdminCallsWithoutAStore(t *testing.T) {
	g := start(t, people(t)+flakyLine, plainSite)
	g.signedIn("/a", "alice", "alicepw")
	up := storeDown(t)
	for route, calls := range adminCalls {
		for _, c := range calls {
			if c.status != http.StatusOK || strings.HasPrefix(route, "/identity/flows") || route == "/identity/providers" {
				continue
			}
			if status, out := c.sent(t); status != http.StatusServiceUnavailable || out["error"] == "" {
				t.Errorf("%s %s without a store: %d %v", c.method, c.target, status, out)
			}
		}
	}
	if status, _ := admin(t, http.MethodDelete, "/identity/sessions?all=yes"); status != http.StatusServiceUnavailable {
		t.Errorf("ending all without a store: %d", status)
	}
	up()
}

// Ending everybody's sessions ends those, and logins that were under way (I15).
func TestI15EndingAllSessions(t *testing.T) {
	h := withFactor(t, factorFlow)
	pending := h.g.open(newBrowser(t), h.g.url("/a"))
	if status, out := admin(t, http.MethodDelete, "/identity/sessions?all=no"); status != http.StatusBadRequest {
		t.Fatalf("not confirmed: %d %v", status, out)
	}
	c := ticketOf(t, h.g, h.b)
	want(t, h.g.get("/a", c.Name+"="+c.Value), http.StatusOK)
	_, list := admin(t, http.MethodGet, "/identity/sessions")
	n := len(list["sessions"].([]any))
	if status, out := admin(t, http.MethodDelete, "/identity/sessions?all=yes"); status != http.StatusOK || out["ended"] != float64(n) || n == 0 {
		t.Fatalf("%d sessions, ended: %d %v", n, status, out)
	}
	want(t, h.g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
	// A login from before makes no session; the next one does.
	p := fill(t, pending, "code", h.code(t))
	if p.Status == http.StatusOK && p.Has("X-Key") {
		t.Fatalf("a login from before got in: %d\n%s", p.Status, p.Text())
	}
	h.signedIn(t)
}

// An operator sees and ends the trust in browsers, one or all.
func TestAdminDevices(t *testing.T) {
	h := withFactor(t, rememberFlow)
	path := "/identity/users/" + key64("idp:u-alice") + "/devices"
	list := func() []any {
		t.Helper()
		status, out := admin(t, http.MethodGet, path)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, out)
		}
		return out["devices"].([]any)
	}
	first := h.g.trusting(t, h.clock, h.secret)
	second := h.g.trusting(t, h.clock, h.secret)
	all := list()
	if len(all) != 2 || strings.Contains(fmt.Sprint(all), "hash") || strings.Contains(fmt.Sprint(all), trustCookie(t, h.g, first).Value) {
		t.Fatalf("devices: %v", all)
	}
	if status, out := admin(t, http.MethodDelete, path+"/"+all[0].(map[string]any)["id"].(string)); status != http.StatusOK || out["forgotten"] != 1.0 {
		t.Fatalf("forgetting one: %d %v", status, out)
	}
	if left := list(); len(left) != 1 || left[0].(map[string]any)["id"] != all[1].(map[string]any)["id"] {
		t.Fatalf("left: %v", left)
	}
	if p := h.g.again(t, first); p.Status == http.StatusOK && p.Has("X-Key") {
		t.Error("a browser is trusted that is not any more")
	}
	if status, out := admin(t, http.MethodDelete, path); status != http.StatusOK || out["forgotten"] != 1.0 || len(list()) != 0 {
		t.Fatalf("forgetting all: %d %v", status, out)
	}
	if p := h.g.again(t, second); p.Status == http.StatusOK && p.Has("X-Key") {
		t.Error("a browser is trusted that is not any more")
	}
	if n := len(h.g.events("device_forgotten", 2)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// The operator gets what the person gets on the account page, and erases as they do.
func TestAdminExportsAndErases(t *testing.T) {
	h := withFactor(t, rememberFlow)
	h.g.trusting(t, h.clock, h.secret)
	path := "/identity/users/" + key64("idp:u-alice")
	h.account(t, h.b)
	_, me := admin(t, http.MethodGet, path)
	own := h.g.send(h.b, browser.Request{URL: h.g.url(accountPath), Header: http.Header{"Accept": {"application/json"}}})
	var theirs map[string]any
	if err := json.Unmarshal([]byte(own.Body), &theirs); err != nil {
		t.Fatalf("%v: %s", err, own.Body)
	}
	for _, what := range []string{"key", "factors", "devices", "kept", "vouched"} {
		if fmt.Sprint(me[what]) != fmt.Sprint(theirs[what]) {
			t.Errorf("%s: the operator has %v, the person %v", what, me[what], theirs[what])
		}
	}
	if len(me["factors"].([]any)) == 0 || len(me["devices"].([]any)) == 0 || len(me["sessions"].([]any)) != len(theirs["sessions"].([]any)) {
		t.Errorf("the export: %v", me)
	}
	c := ticketOf(t, h.g, h.b)
	if status, out := admin(t, http.MethodDelete, path+"?erase=yes"); status != http.StatusOK || out["erased"] != true || out["ended"] == 0.0 {
		t.Fatalf("erasing: %d %v", status, out)
	}
	if status, out := admin(t, http.MethodGet, path); status != http.StatusNotFound {
		t.Errorf("after erasing: %d %v", status, out)
	}
	if e := h.g.events("account_erased", 1); e[0]["user"] != "idp:u-alice" {
		t.Errorf("the trail says %v", e)
	}
	want(t, h.g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
}
