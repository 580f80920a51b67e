package module

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// Start begins the background work. Everything a request needs is ready before.
func (a *App) Start() error {
	if err := a.checkArrives(); err != nil {
		return err
	}
	a.warnHeaders()
	ctx, cancel := context.WithCancel(a.ctx)
	a.stop = cancel
	go a.sweep(ctx)
	warm := func(what string, guest any) {
		if w, ok := guest.(interface{ Warm(context.Context) }); ok {
			go a.aside("warming a "+what, func() { w.Warm(ctx) })
		}
	}
	for _, p := range a.providers {
		warm("provider", p.Guest)
	}
	for _, d := range a.directories {
		warm("directory", d)
	}
	for _, s := range a.signals {
		warm("signal", s)
	}
	go a.aside("watching the store", func() {
		err := a.store.Watch(ctx, a.changedElsewhere)
		if err != nil && ctx.Err() == nil {
			a.log.Error("store: watching for changes ended", zap.Error(err))
		}
	})
	go a.tendKeys(ctx)
	go a.carryDisabled(ctx)
	a.checkHealth(ctx)
	a.warnByPassed()
	a.warnUnreached()
	a.warnShadowed()
	a.warnPortal()
	a.warnDomain()
	a.warnMisspelt()
	a.warnUntold()
	return nil
}

// Stop ends the background work; requests in flight go on.
func (a *App) Stop() error {
	if a.stop != nil {
		a.stop()
	}
	return nil
}

// Cleanup lets go of what is shared, once the last request of this config is
// done (I17). It is also called after a failed Provision.
func (a *App) Cleanup() error {
	if a.state == nil {
		return nil
	}
	a.closing.Store(true)
	a.closeIfIdle()
	return nil
}

func (a *App) closeIfIdle() {
	if !a.closing.Load() || a.inFlight.Load() > 0 {
		return
	}
	a.closed.Do(func() {
		if a.trail != nil {
			a.trail.Close()
		}
		if a.retained != nil {
			a.retained()
		}
		a.releaseShared()
	})
}

// enter counts a request in flight; the caller must call leave.
func (a *App) enter() { a.inFlight.Add(1) }

func (a *App) leave() {
	if a.inFlight.Add(-1) == 0 && a.closing.Load() {
		a.closeIfIdle()
	}
}

// sweep cuts what outlived its session, within a second (B16).
func (a *App) sweep(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			a.aside("the sweep", func() {
				for _, id := range a.shared.cache.Sweep(Now()) {
					a.endInBackground(id, ReasonExpired)
				}
				a.shared.clients.Sweep(Now())
				a.retryEnds(ctx)
				a.endOverdue(ctx)
				a.tellReports(ctx)
				a.judgeStreams()
			})
		}
	}
}

func (a *App) changedElsewhere(keys []string, gap bool) {
	if gap {
		a.shared.cache.Flush()
		return
	}
	for _, k := range keys {
		if row, ok := flowsession.RowOf(k); ok { // a ticket was replaced
			a.shared.cache.DropRow(row)
			continue
		}
		id, ok := strings.CutPrefix(k, "c/")
		if !ok {
			continue
		}
		c, err := a.sessions.Card(context.Background(), id)
		switch {
		case err == nil && !c.Ended.IsZero() || errors.Is(err, flows.ErrNotFound):
			a.shared.cache.End(id)
		case err == nil:
			a.shared.cache.Rotated(id, c.Rotation)
		}
	}
}
