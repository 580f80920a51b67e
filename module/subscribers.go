package module

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// subscribers are those of Caddy's events app. They hear of what happened and decide
// nothing, and nobody waits for them.
type subscribers struct {
	app *caddyevents.App

	backlog[audit.Event]
}

// eventPrefix stands before the kind in the name of a Caddy event.
const eventPrefix = "identity."

func (a *App) provisionSubscribers(ctx caddy.Context) error {
	v, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading Caddy's events: %w", err)
	}
	app, ok := v.(*caddyevents.App)
	if !ok {
		return fmt.Errorf("the events app is a %T", v)
	}
	a.subscribers.app = app
	return nil
}

// emit tells who subscribed to it. It never waits.
func (a *App) emit(e audit.Event) {
	if a.subscribers.app == nil || !a.subscribers.app.ShouldEmit(eventPrefix+string(e.Kind)) {
		return
	}
	if !a.subscribers.add(e, func() { a.aside("subscribers of events", a.emitWaiting) }) {
		a.log.Warn("an event was not emitted: too many wait", zap.String("event", e.ID), zap.String("kind", string(e.Kind)))
	}
}

func (a *App) emitWaiting() {
	for e, ok := a.subscribers.next(); ok; e, ok = a.subscribers.next() {
		_ = a.safely("a subscriber of events", func() error {
			a.subscribers.app.Emit(a.ctx, eventPrefix+string(e.Kind), eventData(e))
			return nil
		})
	}
}

// eventData is what subscribers are told: where and what, and of a person the key only.
// What they signed in with, what they approved and what an error says is for the trail.
func eventData(e audit.Event) map[string]any {
	data := map[string]any{"time": e.Time.UTC().Format(time.RFC3339Nano)}
	for name, v := range map[string]string{
		"id": e.ID, "kind": string(e.Kind), "user": string(e.User), "provider": e.Provider, "flow": e.Flow, "factor": e.Factor, "item": e.Item,
		"session": e.Session, "reason": string(e.Reason), "rule": e.Rule, "method": e.Method, "host": e.Host, "path": e.Path, "ip": e.IP,
		"correlation": e.Correlation,
	} {
		if v != "" {
			data[name] = strings.Map(inert, v)
		}
	}
	return data
}

// inert leaves no control character: subscribers put values into command lines and logs.
func inert(r rune) rune {
	if audit.Forges(r) {
		return '?'
	}
	return r
}
