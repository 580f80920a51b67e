package module_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/module"
)

func init() {
	caddy.RegisterModule(busy{})
	httpcaddyfile.RegisterHandlerDirective("busy", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return busy{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("busy", httpcaddyfile.Before, "redir")
}

// busy is somebody's plugin: each request does something.
type busy struct{}

var busyRan atomic.Int64

func (busy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.busy", New: func() caddy.Module { return new(busy) }}
}

func (busy) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	busyRan.Add(1)
	return next.ServeHTTP(w, r)
}

// A request that is thought through takes the way of Caddy's routes, and runs no handler
// that does something: neither in front of protect nor where there is none (I26).
func TestI26ExplainRunsNoHandler(t *testing.T) {
	g := start(t, people(t), "redir /old /new\nhandle_path /app/* {\nbusy\nprotect {\nrequire /admin/* `\"admins\" in user.groups`\n}\nreverse_proxy {APP}\n}\nhandle /plain/* {\nreverse_proxy {APP}\n}\n"+
		"handle /named/* {\ninvoke shared\n}\nhandle /odd/* {\nroute {\nrewrite * /app/x\nprotect {\nrequire `request.path == \"/app/x\"`\n}\n}\n}\nhandle {\nfile_server\n}\n}\n&(shared) {\nprotect\nreverse_proxy {APP}")
	app := theApp(t)
	bob := &module.ExplainUser{Attributes: map[string]any{"name": "bob"}}
	for path, want := range map[string]struct{ decision, note string }{
		"/app/admin/x": {"denied", "busy was not run"},
		"/app/x":       {"allowed", "busy was not run"},
		"/plain/x":     {"not_covered", "reverse_proxy answers"},
		"/named/x":     {"allowed", ""},
		"/odd/x":       {"allowed", ""},
		"/odd/y":       {"allowed", ""},
		"/old":         {"not_covered", "302"},
		"/none":        {"not_covered", "file_server answers"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			e, err := app.Explain(t.Context(), module.ExplainCase{URL: g.url(path), Method: method, User: bob})
			if err != nil || e.Decision != want.decision || want.note != "" && !slices.ContainsFunc(e.Notes, func(n string) bool { return strings.Contains(n, want.note) }) {
				t.Errorf("%s %s: %+v, %v", method, path, e, err)
			}
		}
	}
	if busyRan.Load() != 0 || len(g.app.requests()) != 0 {
		t.Errorf("%d and %d requests were served", busyRan.Load(), len(g.app.requests()))
	}
}

// What an access manager in front of us says is judged as in a request: by who says it,
// and against what was said when they signed in (I18).
func TestExplainBelievesWhoMaySayIt(t *testing.T) {
	g := start(t, people(t)+wam("10.0.0.0/8")+wamFlow, wamSite)
	app := theApp(t)
	says := map[string]module.Words{"SM_USER": {"alice"}, "SM_USERGROUPS": {"admins"}, "Accept": {"text/html"}}
	for name, tc := range map[string]struct {
		c        module.ExplainCase
		decision string
	}{
		"who may":          {module.ExplainCase{URL: g.url("/admin/x"), Headers: says, Peer: "10.0.0.1", Address: "192.0.2.1"}, "allowed"},
		"who may not":      {module.ExplainCase{URL: g.url("/admin/x"), Headers: says, Peer: "192.0.2.1"}, "login_needed"},
		"the same person":  {module.ExplainCase{URL: g.url("/x"), Headers: says, Peer: "10.0.0.1", User: &module.ExplainUser{Attributes: map[string]any{"provider": "wam", "name": "alice"}}}, "allowed"},
		"somebody else":    {module.ExplainCase{URL: g.url("/x"), Headers: map[string]module.Words{"SM_USER": {"bob"}}, Peer: "192.0.2.1", User: &module.ExplainUser{Attributes: map[string]any{"provider": "wam", "name": "alice"}}}, "login_needed"},
		"nobody any more":  {module.ExplainCase{URL: g.url("/x"), Peer: "10.0.0.1", User: &module.ExplainUser{Attributes: map[string]any{"provider": "wam", "name": "alice"}}}, "login_needed"},
		"of another login": {module.ExplainCase{URL: g.url("/x"), Peer: "10.0.0.1", User: &module.ExplainUser{Attributes: map[string]any{"provider": "corp", "name": "alice"}}}, "allowed"},
	} {
		e, err := app.Explain(t.Context(), tc.c)
		if err != nil || e.Decision != tc.decision {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}
