package caddyfile_test

import (
	"crypto/tls"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// visit is one request to a golden and what must come back. The default is a
// navigation to / that is sent into the login.
type visit struct {
	path    string
	program bool // no navigation: fetch, curl
	plain   bool // without TLS
	status  int
}

// toLogin marks a redirect to the gateway's own pages or straight to the only provider.
const toLogin = http.StatusSeeOther

// visits are the goldens that answer something else, or more.
var visits = map[string][]visit{
	"protect_off":                          {{path: "/", status: 200}},
	"protect_off_with_base_words":          {{path: "/", status: 200}, {path: "/a//b", status: 200}},
	"protect_bare":                         {{path: "/", status: toLogin}, {path: "/", program: true, status: 401}, {path: "/a//b", status: 400}},
	"protect_matcher_path":                 {{path: "/", status: 200}, {path: "/app/x", status: toLogin}},
	"protect_matcher_named":                {{path: "/", status: 200}, {path: "/admin/x", status: toLogin}},
	"protect_order":                        {{path: "/moved", status: http.StatusFound}, {path: "/old", status: toLogin}},
	"protect_two_in_a_site":                {{path: "/", status: 401}, {path: "/admin/x", status: toLogin}},
	"protect_in_handle_uses_outer_matcher": {{path: "/", status: 200}, {path: "/app/x", status: toLogin}, {path: "/app/health", status: 200}},
	"protect_in_named_route":               {{path: "/", status: toLogin}, {path: "/public/x", status: 200}, {path: "/public", status: toLogin}},
	"protect_in_route_keeps_written_order": {{path: "/", status: 200}, {path: "/healthz", status: 200}, {path: "/app/x", status: toLogin}, {path: "/app/public/x", status: 200}, {path: "/app/public", status: toLogin}},
	"protect_in_handle_path":               {{path: "/", status: 200}, {path: "/app/x", status: toLogin}, {path: "/app/public/x", status: 200}},
	"protect_in_snippet":                   {{path: "/", status: 200}, {path: "/app/x", status: toLogin}, {path: "/app/public/x", status: 200}},
	"protect_everything":                   {{path: "/", status: toLogin}, {path: "/admin", status: toLogin}, {path: "/healthz", status: toLogin}, {path: "/public", status: toLogin}},
	"public_one":                           {{path: "/", status: toLogin}, {path: "/healthz", status: 200}},
	"public_several":                       {{path: "/", status: toLogin}, {path: "/healthz", status: 200}, {path: "/public/x", status: 200}, {path: "/public", status: toLogin}, {path: "/x/a.css", status: 200}},
	"public_everything":                    {{path: "/", status: 200}},
	"public_named_not":                     {{path: "/", status: 200}, {path: "/admin/x", status: toLogin}, {path: "/admin", status: toLogin}, {path: "/login", status: toLogin}},
	"optional_path":                        {{path: "/", status: 200}, {path: "/home/x", status: 200}, {path: "/home", status: toLogin}, {path: "/x", status: toLogin}},
	"policies_shared_by_sites":             {{path: "/", status: toLogin}, {path: "/admin/x", status: toLogin}},
	"rules_keep_written_order":             {{path: "/a/x", status: 200}, {path: "/c", status: 200}, {path: "/b", status: toLogin}},
	"unauthenticated_401":                  {{path: "/", status: 401}},
	"unauthenticated_redirect":             {{path: "/", status: toLogin}},
	"strict_paths_off":                     {{path: "/", status: toLogin}, {path: "/a//b", status: toLogin}},
	"portal_loopback":                      {{path: "/", status: 200}}, // another host
	"strict_paths_on":                      {{path: "/a//b", status: 400}},
	"url_https":                            {{path: "/", plain: true, status: toLogin}},
}

// TestGoldenProvisionsAndServes loads every golden that adapts, as `caddy run`
// would, and sends it requests. Nothing may be answered with an error of ours.
func TestGoldenProvisionsAndServes(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldens(t) {
		if strings.HasPrefix(g.want, "error: ") {
			continue
		}
		seen[g.name] = true
		t.Run(g.name, func(t *testing.T) {
			srv, host := serve(t, g.input)
			for _, v := range orDefault(visits[g.name]) {
				v.check(t, srv, host)
			}
		})
	}
	for name := range visits {
		if !seen[name] {
			t.Errorf("visits names %s, which is no golden that serves", name)
		}
	}
}

func orDefault(v []visit) []visit {
	if len(v) == 0 {
		return []visit{{path: "/", status: toLogin}}
	}
	return v
}

func (v visit) check(t *testing.T, srv http.Handler, host string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://"+host+v.path, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: host}
	if v.plain {
		r.TLS = nil
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if v.program {
		r.Header = http.Header{"Accept": {"*/*"}}
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	if w.Code != v.status {
		t.Errorf("%s answered %d, want %d: %s", v.path, w.Code, v.status, w.Body)
	}
	to := w.Header().Get("Location")
	own := strings.HasPrefix(strings.TrimPrefix(to, "https://"+host), "/.identity/") || strings.HasPrefix(to, "https://auth.example.com/.identity/login?hop=")
	if v.status == toLogin && !own && !strings.HasPrefix(to, os.Getenv("GOLDEN_ISSUER")+"/") {
		t.Errorf("%s leads to %q, want the login", v.path, to)
	}
}

// serve loads a Caddyfile without admin and certificates, and answers its only
// server and the host it serves.
func serve(t *testing.T, input string) (http.Handler, string) {
	t.Helper()
	js, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var cfg map[string]any
	if err := json.Unmarshal(js, &cfg); err != nil {
		t.Fatal(err)
	}
	cfg["admin"] = map[string]any{"disabled": true, "config": map[string]any{"persist": false}}
	cfg["storage"] = map[string]any{"module": "file_system", "root": filepath.Join(os.Getenv("GOLDEN_DIR"), "storage")}
	cfg["logging"] = map[string]any{"logs": map[string]any{"default": map[string]any{"writer": map[string]any{"output": "file", "filename": filepath.Join(os.Getenv("GOLDEN_DIR"), "caddy.log")}}}}
	apps := cfg["apps"].(map[string]any)
	apps["pki"] = map[string]any{"certificate_authorities": map[string]any{"local": map[string]any{"install_trust": false}}}
	servers := apps["http"].(map[string]any)["servers"].(map[string]any)
	for _, s := range servers {
		s.(map[string]any)["listen"] = []string{"127.0.0.1:0"}
		s.(map[string]any)["automatic_https"] = map[string]any{"disable": true}
	}
	if js, err = json.Marshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(js, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	all := app.(*caddyhttp.App).Servers
	name := slices.Collect(maps.Keys(all))[0]
	return all[name], "payroll.example.com"
}
