package module

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/headers"
)

// CheckCorrelation refuses a header that cannot hold the id of a request.
func CheckCorrelation(name string) error {
	if err := headers.ValidateName(name); err != nil {
		return fmt.Errorf("correlation: %w", err)
	}
	return nil
}

func (a *App) provisionCorrelation(caddy.Context) error {
	if a.Correlation == "" {
		return nil
	}
	if err := CheckCorrelation(a.Correlation); err != nil {
		return err
	}
	a.owned = append(a.owned, a.Correlation)
	return nil
}

// correlation is the id of a request.
type correlation struct {
	id string
	// taken: it is no event's own, either because one has it or because somebody else chose it.
	taken bool
}

// correlate gives the request its id: that of a proxy in front of us that is trusted,
// or Caddy's own, {http.request.uuid}. Nobody else chooses one.
func (v *visit) correlate() {
	ctx := v.r.Context()
	id, ours := "", false
	if trusted, _ := caddyhttp.GetVar(ctx, caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if got := v.r.Header.Values(v.app.Correlation); len(got) == 1 && correlates(got[0]) {
			id = got[0]
		}
	}
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); id == "" && ok {
		id, ours = repl.GetString("http.request.uuid")
	}
	if id == "" {
		return
	}
	v.correlation = &correlation{id: id, taken: !ours}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("correlation", id))
	}
}

// correlates reports whether an id is one: what else a header may hold would forge
// lines, or fill pages.
func correlates(id string) bool {
	if len(id) < 8 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

// number gives an event the id of its request. The first one has it as its own id, too,
// unless somebody else chose it.
func (v *visit) number(e *audit.Event) {
	c := v.correlation
	if c == nil {
		return
	}
	if e.Correlation = c.id; !c.taken {
		e.ID, c.taken = c.id, true
	}
}
