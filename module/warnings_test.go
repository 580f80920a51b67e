package module_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// logged loads a config whose log is a file and answers what is read from it.
func (g *gateway) logged(global, site string) func() []map[string]any {
	g.t.Helper()
	file := filepath.Join(g.dir, "caddy.log")
	_ = os.Truncate(file, 0)
	text := strings.Replace(g.caddyfile(global, site), "{\n", "{\nlog default {\noutput file "+file+"\nformat json\n}\n", 1)
	cfg, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		err = caddy.Load(cfg, true)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	g.settle()
	return func() []map[string]any {
		b, err := os.ReadFile(file)
		if err != nil {
			g.t.Fatal(err)
		}
		var out []map[string]any
		for l := range strings.Lines(string(b)) {
			var e map[string]any
			if json.Unmarshal([]byte(l), &e) == nil {
				out = append(out, e)
			}
		}
		return out
	}
}

// warnings are the log entries of level warn that hold a word.
func warnings(entries []map[string]any, word string) (out []map[string]any) {
	for _, e := range entries {
		if msg, _ := e["msg"].(string); e["level"] == "warn" && strings.Contains(msg, word) {
			out = append(out, e)
		}
	}
	return out
}

// A misspelt attribute denies everybody, or leaves a header out, without a word: so
// the load says it.
func TestWarnsOfMisspeltAttributes(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t), plainSite)
	entries := g.logged(people(t)+asked(t, "idp", op, "claim department org.unit")+"policy admins `\"admins\" in user.grups`\nflow f {\nlogin corp\nset cost_centre `\"7\"`\nrequire `user.departmnet == \"x\" || true`\n}",
		"protect f {\nheader X-Mail {user.emial}\nheader X-Cost {user.cost_center}\nheader X-Fine {user.anything}\nheader X-Phone {user.phone_number}\nrequire /admin/* admins\nrequire /x/* `user.name == \"a\" && \"x\" in user.groups && user.company == \"y\"`\n}\nreverse_proxy {APP}")()
	found := map[string]string{}
	for _, e := range warnings(entries, "attribute") {
		at, _ := json.Marshal(e["at"])
		found[e["attribute"].(string)] = e["nearest"].(string) + " " + string(at)
	}
	for name, nearest := range map[string]string{"grups": "groups", "departmnet": "department", "emial": "email", "cost_center": "cost_centre"} {
		if !strings.HasPrefix(found[name], nearest+" ") || !strings.Contains(found[name], "Caddyfile:") {
			t.Errorf("%s: %q, want %s and its line", name, found[name], nearest)
		}
		delete(found, name)
	}
	if len(found) > 0 {
		t.Errorf("there are warnings of %v", found)
	}
}

func TestWarnsOfADomainAboveNoHost(t *testing.T) {
	g := start(t, people(t), plainSite)
	site := "http://127.0.0.1:{PORT}, http://app.example.test:{PORT} {\nbind 127.0.0.1\nprotect\nreverse_proxy {APP}\n}"
	for domain, warned := range map[string]bool{"example.test": false, "app.example.test": false, "other.test": true, "ample.test": true} {
		entries := g.logged(people(t)+"session {\ndomain "+domain+"\n}", site)()
		w := warnings(entries, "below the session's domain there is no host with protect")
		if (len(w) == 1) != warned {
			t.Errorf("%s: warnings %v", domain, w)
		}
		if warned && len(w) == 1 && (w[0]["domain"] != domain || !strings.Contains(w[0]["hosts"].(string), "app.example.test")) {
			t.Errorf("%s: %v", domain, w[0])
		}
	}
}

func TestWarnsOfPromptNone(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t), plainSite)
	if w := warnings(g.logged(asked(t, "idp", op, "prompt none"), plainSite)(), "prompt none"); len(w) != 1 || w[0]["issuer"] != op.Issuer {
		t.Errorf("warnings %v", w)
	}
	if w := warnings(g.logged(asked(t, "idp", op, "prompt select_account"), plainSite)(), "prompt none"); len(w) != 0 {
		t.Errorf("warnings %v", w)
	}
}

// Who was refused is in the access log as who was let in is.
func TestAccessLogNamesWhoWasRefused(t *testing.T) {
	g := start(t, people(t), plainSite)
	site := "log\nprotect {\nrequire /admin/* `\"admins\" in user.groups`\nheader X-Long {user.email} {\nmax 3\n}\n}\nreverse_proxy {APP}"
	read := g.logged(people(t), site)
	b := newBrowser(t)
	if p := g.signIn(b, "/a", "bob", "bobpw"); p.Status != http.StatusOK {
		t.Fatalf("%d at %s", p.Status, p.URL)
	}
	want(t, g.open(b, g.url("/admin/x")), http.StatusForbidden)
	alice := newBrowser(t)
	if p := g.signIn(alice, "/long", "alice", "alicepw"); p.Status != http.StatusForbidden { // a header that is too long
		t.Fatalf("%d at %s", p.Status, p.URL)
	}
	g.open(newBrowser(t), g.url("/admin/y"))
	users := map[string][]string{}
	for _, e := range read() {
		if r, ok := e["request"].(map[string]any); ok && e["user_id"] != nil {
			path := r["uri"].(string)
			users[path] = append(users[path], e["user_id"].(string))
		}
	}
	for path, user := range map[string]string{"/a": "bob", "/admin/x": "bob", "/long": "alice", "/admin/y": ""} {
		if got := users[path]; len(got) == 0 || got[len(got)-1] != user {
			t.Errorf("%s: user_id %q, want %q", path, got, user)
		}
	}
}

// A config that was written as JSON has no lines: its errors do not name empty ones.
func TestJSONWithoutSourcesNamesNoEmptyPlace(t *testing.T) {
	g := start(t, people(t), plainSite)
	text := g.caddyfile(people(t)+"dialect own {\nheader X-A {user.name}\n}", "protect {\nheaders own\nheader X-B {user.name}\nrequire /x/* `true`\n}\nreverse_proxy {APP}")
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(protect map[string]any){
		"dialect": func(p map[string]any) { first(p["headers"])["own"] = "nobody" },
		"header":  func(p map[string]any) { first(p["headers"], 1)["value"] = "{user." },
		"headers": func(p map[string]any) {
			p["headers"] = []any{map[string]any{"dialect": map[string]any{"name": "nothing"}}}
		},
		"rule":     func(p map[string]any) { first(p["rules"])["match"] = []any{map[string]any{"nothing": 1}} },
		"no rule":  func(p map[string]any) { first(p["rules"])["cel"] = "" },
		"bad rule": func(p map[string]any) { first(p["rules"])["cel"] = "nothing.x" },
		"on_logout": func(p map[string]any) {
			p["on_logout"] = []any{map[string]any{"url": "ftp://x"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var cfg any
			if err := json.Unmarshal(raw, &cfg); err != nil {
				t.Fatal(err)
			}
			n := 0
			edit(cfg, func(m map[string]any) {
				delete(m, "source")
				if m["handler"] == "protect" && m["base"] == nil {
					change(m)
					n++
				}
			})
			b, err := json.Marshal(cfg)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			err = caddy.Load(b, true)
			if err == nil {
				t.Fatal("it was loaded")
			}
			for _, hole := range []string{" at :", "at : ", "at  ", ": : "} {
				if strings.Contains(err.Error(), hole) {
					t.Errorf("names a place that is none: %v", err)
				}
			}
		})
	}
}

func first(list any, i ...int) map[string]any {
	return list.([]any)[len(i)].(map[string]any)
}

// edit visits every object of a JSON value.
func edit(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, e := range v {
			edit(e, f)
		}
	case []any:
		for e := range slices.Values(v) {
			edit(e, f)
		}
	}
}

// A second protect would seem to add to the first; it is never asked.
func TestWarnsOfAProtectBehindAnother(t *testing.T) {
	g := start(t, people(t), plainSite)
	const rule = "protect {\nrequire /admin/* `false`\n}\n"
	for name, tc := range map[string]struct {
		site string
		want int
	}{
		"two without a matcher":     {"protect\n" + rule + "respond ok", 1},
		"one in a handle":           {"protect\nhandle /admin/* {\n" + rule + "respond a\n}\nrespond ok", 1},
		"a matched one comes first": {"protect\nprotect /admin/* {\nrequire `false`\n}\nrespond ok", 0},
		"off beside one":            {"protect off\n" + rule + "respond ok", 0},
		"each in a handle":          {"protect off\nhandle /a/* {\nprotect\nrespond a\n}\nhandle {\n" + rule + "respond b\n}", 0},
		"two sites":                 {"http://127.0.0.1:{PORT} {\nprotect\nrespond a\n}\nhttp://localhost:{PORT} {\n" + rule + "respond b\n}", 0},
	} {
		found := warnings(g.logged(people(t), tc.site)(), "judges nothing")
		if len(found) != tc.want {
			t.Errorf("%s: %v, want %d", name, found, tc.want)
		}
		for _, w := range found {
			if p, b := w["protect"], w["before"]; p == b || !strings.HasPrefix(p.(string), "Caddyfile:") || !strings.HasPrefix(b.(string), "Caddyfile:") {
				t.Errorf("%s: it names %v and %v", name, p, b)
			}
		}
	}
}
