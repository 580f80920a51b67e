package module

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// provisionMessengers loads how codes and notices reach people.
func (a *App) provisionMessengers(ctx caddy.Context) (err error) {
	a.messengers, err = namedGuests[flows.Messenger](ctx, a, "messenger", "MessengersRaw", a.MessengersRaw)
	return err
}

// Messenger finds a messenger by its name.
func (r *registry) Messenger(name string) (flows.Messenger, error) {
	m, err := called("messenger", name, r.a.messengers)
	if err != nil {
		return nil, err
	}
	return &worded{a: r.a, name: name, to: m}, nil
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
