package module

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionMessengers loads how codes and notices reach people.
func (a *App) provisionMessengers(ctx caddy.Context) error {
	for name, raw := range a.MessengersRaw {
		if !flows.ValidName(name) {
			return fmt.Errorf("messenger %q: a name must match [a-z0-9_-]+", name)
		}
		a.raw["messenger:"+name] = string(raw)
	}
	mods, err := ctx.LoadModule(a, "MessengersRaw")
	if err != nil {
		return fmt.Errorf("loading messengers: %w", err)
	}
	a.messengers = map[string]flows.Messenger{}
	byName, _ := mods.(map[string]any)
	for name, m := range byName {
		g, ok := m.(flows.Messenger)
		if !ok {
			return fmt.Errorf("messenger %s: %T is no messenger", name, m)
		}
		a.messengers[name] = g
	}
	return nil
}

func (a *App) bindMessengers() error {
	for _, name := range orderOf(nil, a.messengers) {
		if err := bindGuest(a.messengers[name], &registry{a: a, guest: "messenger/" + name}); err != nil {
			return fmt.Errorf("messenger %s: %w", name, err)
		}
	}
	return nil
}

// Messenger finds a messenger by its name.
func (r *registry) Messenger(name string) (flows.Messenger, error) {
	if m, ok := r.a.messengers[name]; ok {
		return &worded{a: r.a, name: name, to: m}, nil
	}
	have := orderOf(nil, r.a.messengers)
	if len(have) == 0 {
		have = []string{"none"}
	}
	return nil, fmt.Errorf("no messenger is called '%s'; there are: %s", name, strings.Join(have, ", "))
}

// worded is a messenger as guests get it: it finds the words for what they name.
type worded struct {
	a    *App
	name string
	to   flows.Messenger
}

// Send counts each try, and logs one that failed: neither to whom nor what (P15).
func (w *worded) Send(ctx context.Context, m flows.Message) error {
	if m.ID == "" {
		m.ID = newID()
	}
	label := "other"
	if w.a.pages.Words(&m) {
		label = m.Kind
	}
	err := w.a.safely("sending a message", func() error { return w.to.Send(ctx, m) })
	outcome := "sent"
	if err != nil {
		outcome = "failed"
		w.a.log.Warn("message not sent", zap.String("messenger", w.name), zap.String("kind", m.Kind), zap.String("id", m.ID), zap.Error(err))
	}
	w.a.shared.metrics.messages.WithLabelValues(w.name, label, outcome).Inc()
	return err
}
