// Package log writes the audit trail into Caddy's own log.
package log

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func init() { caddy.RegisterModule(new(Sink)) }

// Sink writes every event as one entry of the logger `identity.audit.log`, at
// level INFO, or at the lowest level that Caddy's log lets through: an operator
// who quiets the log must not lose the trail with it (I25). It is as durable as that log: nothing is synced, and a full disk
// shows on standard error only. Where that is not enough, use `file`.
type Sink struct {
	audit.SinkOptions

	log   *zap.Logger
	level zapcore.Level
}

// CaddyModule returns the Caddy module information.
func (*Sink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.audit.log", New: func() caddy.Module { return new(Sink) }}
}

// Provision takes the logger.
func (s *Sink) Provision(ctx caddy.Context) error {
	s.log = ctx.Logger()
	return nil
}

// errFiltered is a load error: found out later it would be a login that nobody
// is allowed to finish, or one that nobody recorded.
var errFiltered = errors.New("audit log: Caddy's log drops all of its entries; " +
	"let some log include identity.audit.log, or use `audit file <path>`")

// Validate refuses a log that would drop the trail.
func (s *Sink) Validate() error {
	for _, s.level = range []zapcore.Level{zapcore.InfoLevel, zapcore.WarnLevel, zapcore.ErrorLevel} {
		if s.log.Core().Enabled(s.level) {
			return nil
		}
	}
	return errFiltered
}

// Write logs one event. An entry that the log drops, by level or sampling, is an error.
func (s *Sink) Write(ctx context.Context, e audit.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.log == nil {
		return errors.New("audit log: not provisioned")
	}
	entry := s.log.Check(s.level, "audit")
	if entry == nil {
		return errFiltered
	}
	entry.Write(fields(e)...)
	return nil
}

// fields names every value as the event's JSON does. Values are cleaned,
// because not every encoder that may stand behind this log escapes them.
func fields(e audit.Event) []zap.Field {
	all := make([]zap.Field, 0, 24)
	add := func(name, value string) {
		if value != "" {
			all = append(all, zap.String(name, audit.Clean(value)))
		}
	}
	add("id", e.ID)
	if !e.Time.IsZero() {
		add("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	add("kind", string(e.Kind))
	add("user", string(e.User))
	add("name", e.Name)
	add("provider", e.Provider)
	add("flow", e.Flow)
	add("step", e.Step)
	add("factor", e.Factor)
	add("item", e.Item)
	add("session", e.Session)
	add("reason", string(e.Reason))
	add("rule", e.Rule)
	add("text", e.Text)
	add("method", e.Method)
	add("host", e.Host)
	add("path", e.Path)
	add("ip", e.IP)
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		clean := make([]string, len(values))
		for i, v := range values {
			clean[i] = audit.Clean(v)
		}
		all = append(all, zap.Strings(name, clean))
	}
	list("amr", e.AMR)
	add("acr", e.ACR)
	add("approval", e.Approval)
	var shown []string
	for _, r := range e.Show {
		shown = append(shown, r.Name+"="+r.Value)
	}
	list("show", shown)
	list("fallback", e.Fallback)
	add("drill", e.Drill)
	add("detail", e.Detail)
	if e.Facts != nil {
		if raw, err := json.Marshal(e.Facts); err == nil {
			add("facts", string(raw))
		}
	}
	add("correlation", e.Correlation)
	var masked []string
	for _, c := range e.Masked {
		masked = append(masked, string(c))
	}
	list("masked", masked)
	return all
}

// UnmarshalCaddyfile sets up the sink from Caddyfile tokens. Syntax:
//
//	audit log
func (s *Sink) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.Errf("audit log takes no arguments, found '%s'", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("audit log has no options, found '%s'", d.Val())
	}
	return nil
}

// Interface guards
var (
	_ audit.Sink            = (*Sink)(nil)
	_ caddy.Provisioner     = (*Sink)(nil)
	_ caddy.Validator       = (*Sink)(nil)
	_ caddyfile.Unmarshaler = (*Sink)(nil)
)
