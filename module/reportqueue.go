package module

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// reports tell signals that talk to others what waits for them in the store.
type reports struct {
	looking atomic.Bool // one look at a time
	hurry   atomic.Bool // this node put something there
	next    atomic.Int64
}

// reportsAtOnce is how many are told at the same time.
const reportsAtOnce = 8

// tellReports looks for reports that are due, beside the sweep.
func (a *App) tellReports(ctx context.Context) {
	q, now := &a.reports, time.Now()
	if len(a.reporters) == 0 || !q.hurry.Load() && now.UnixNano() < q.next.Load() || !q.looking.CompareAndSwap(false, true) {
		return
	}
	a.enter()
	go func() {
		defer a.leave()
		defer q.looking.Store(false)
		q.hurry.Store(false)
		q.next.Store(now.Add(reportsEvery).UnixNano())
		a.aside("telling signals", func() { a.tellDue(ctx) })
	}()
}

// tellDue tells each report that is due. A signal that is away is not asked again in
// the same look.
func (a *App) tellDue(ctx context.Context) {
	var away sync.Map
	for after := ""; ; {
		keys, err := a.store.Members(ctx, reportsIndex, after, reportsPage)
		if err != nil || len(keys) == 0 {
			return
		}
		after = keys[len(keys)-1]
		var told sync.WaitGroup
		slots := make(chan struct{}, reportsAtOnce)
		for _, key := range keys {
			slots <- struct{}{}
			told.Go(func() {
				defer func() { <-slots }()
				a.aside("telling a signal", func() { a.tellOne(ctx, key, &away) })
			})
		}
		told.Wait()
	}
}

// tellOne takes one report, which puts it off for the others, and removes it when it
// was told or never will be.
func (a *App) tellOne(ctx context.Context, key string, away *sync.Map) {
	q, err := a.takeReport(ctx, key, away)
	if err != nil || q == nil {
		return
	}
	try, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	log := a.log.With(zap.String("signal", q.Signal), zap.String("id", q.Report.ID))
	err = a.safely("telling a signal", func() error { return a.reporters[q.Signal].Report(try, &q.Report) })
	switch {
	case errors.Is(err, flows.ErrUnavailable):
		away.Store(q.Signal, true)
		a.reported(q.Signal, "failed")
		log.Warn("a signal could not be told what came of a login; it is tried again", zap.Int("tries", q.Tries), zap.Error(err))
		return
	case err != nil:
		a.reported(q.Signal, "refused")
		log.Warn("a signal did not want to be told what came of a login", zap.Error(err))
	default:
		a.reported(q.Signal, "told")
	}
	done, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportSave)
	defer cancel()
	if err := a.removeReport(done, key); err != nil {
		log.Warn("a signal may be told again what came of a login", zap.Error(err))
	}
}

// takeReport answers a report that is due, and nil for any other. What was kept too
// long is dropped; what only another config knows how to tell is left to it.
func (a *App) takeReport(ctx context.Context, key string, away *sync.Map) (taken *queued, err error) {
	if q, err := a.readReport(ctx, key); err != nil || !a.reportDue(q, away) {
		return nil, err
	}
	k, err := a.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	var dropped string
	err = a.store.Update(ctx, key, func(old []byte) (flows.Change, error) {
		taken, dropped = nil, ""
		q := new(queued)
		plain, err := k.Open("report", key, old)
		if old == nil || err != nil || json.Unmarshal(plain, q) != nil || !a.reportDue(q, away) {
			return flows.Keep(), nil
		}
		now := Now()
		if !now.Before(q.Until) {
			dropped = q.Signal
			return flows.Remove(), nil
		}
		q.Due = now.Add(reportPauses[min(q.Tries, len(reportPauses)-1)])
		q.Tries++
		sealed, err := a.sealReport(ctx, key, *q)
		if err != nil {
			return flows.Keep(), err
		}
		taken = q
		return flows.Set(sealed, max(q.Until.Sub(now), 0)+time.Hour, reportsIndex), nil
	})
	if err == nil && dropped != "" {
		a.reported(dropped, "dropped")
		a.log.Warn("a signal was never told what came of a login", zap.String("signal", dropped), zap.String("key", key))
	}
	return taken, err
}

func (a *App) reportDue(q *queued, away *sync.Map) bool {
	_, gone := away.Load(q.Signal)
	_, known := a.reporters[q.Signal]
	now := Now()
	return !now.Before(q.Until) || known && !gone && !now.Before(q.Due)
}

func (a *App) readReport(ctx context.Context, key string) (*queued, error) {
	k, err := a.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	b, err := a.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	plain, err := k.Open("report", key, b)
	if err != nil {
		return nil, err
	}
	q := new(queued)
	return q, json.Unmarshal(plain, q)
}

func (a *App) sealReport(ctx context.Context, key string, q queued) ([]byte, error) {
	k, err := a.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	return k.Seal("report", key, b)
}

func (a *App) removeReport(ctx context.Context, key string) error {
	return a.store.Update(ctx, key, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
}
