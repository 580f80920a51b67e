package module_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/module"
)

// another is a node of its own over the same store: its cache, leases and back-off
// are not the first one's. It listens nowhere.
func (g *gateway) another(global, site string) (*module.App, *caddyhttp.App) {
	g.t.Helper()
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(global, site)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		g.t.Fatal(err)
	}
	cfg := new(caddy.Config)
	if err := json.Unmarshal(text, cfg); err != nil {
		g.t.Fatal(err)
	}
	back := module.AnotherNode()
	ctx, err := caddy.ProvisionContext(cfg)
	back()
	if err != nil {
		g.t.Fatal(err)
	}
	id, err := ctx.AppIfConfigured("identity")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(id.(*module.App).LetGo)
	apps, err := ctx.AppIfConfigured("http")
	if err != nil {
		g.t.Fatal(err)
	}
	return id.(*module.App), apps.(*caddyhttp.App)
}

// behind serves a request by the gate of an app, as Caddy hands it on; the
// application answers with the headers it got.
func (g *gateway) behind(apps *caddyhttp.App) func(r *http.Request) *httptest.ResponseRecorder {
	gate := gatesOf(apps)[0]
	return func(r *http.Request) *httptest.ResponseRecorder {
		vars := map[string]any{caddyhttp.ClientIPVarKey: "127.0.0.1", caddyhttp.TrustedProxyVarKey: false}
		ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
		w := httptest.NewRecorder()
		app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return r.Header.Write(w) })
		if err := gate.ServeHTTP(w, r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, vars)), app); err != nil {
			g.t.Error(err)
		}
		return w
	}
}

// secondNode is another node that runs, so that it hears of what changes in the store.
func (g *gateway) secondNode(global, site string) func(r *http.Request) *httptest.ResponseRecorder {
	g.t.Helper()
	id, apps := g.another(global, site)
	if err := id.Start(); err != nil {
		g.t.Fatal(err)
	}
	return g.behind(apps)
}

// node is another node as one browser meets it.
func (g *gateway) node(global, site, cookie string) at {
	g.t.Helper()
	_, apps := g.another(global, site)
	serve := g.behind(apps)
	return func(path string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, g.url(path), nil)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Accept", "text/html")
		w := serve(r)
		return w.Code, w.Body.String()
	}
}
