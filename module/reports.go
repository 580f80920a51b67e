package module

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// refsOf are what far sides call the readings of a session: a run that stands on it
// did not make them.
func refsOf(readings map[string]flows.Reading) map[string]string {
	refs := map[string]string{}
	for name, r := range readings {
		refs[name] = r.Ref
	}
	return refs
}

// tellSignals tells signals what came of a run. Those that talk to others hear of runs
// that asked them, of somebody who is known: a stranger costs no write. Nothing of it
// keeps anybody in or out (I25).
func (v *visit) tellSignals(x *flows.Execution, e audit.Event, granted bool, before map[string]string) {
	if len(v.app.reporters) == 0 {
		return
	}
	r := flows.Report{ID: e.ID, Kind: string(e.Kind), Time: e.Time, Granted: granted, Reason: e.Reason, Name: e.Name, IP: e.IP}
	if x.User != nil {
		r.User, r.Name = x.User.Key, x.User.Name
	} else if r.User = ""; x.Env.Tried != "" {
		r.Name = x.Env.Tried
	}
	for _, name := range orderOf(nil, v.app.reporters) {
		if _, outward := v.app.reporters[name].(flows.Outward); !outward {
			v.app.tellSignal(v.r.Context(), name, r)
			continue
		}
		own := r
		if own.Ref = x.Readings[name].Ref; own.Ref != "" && own.Ref != before[name] && own.User != "" {
			v.app.queueReport(v.r.Context(), name, own)
		}
	}
}

// tellTry tells signals on this node of a wrong answer; those that talk to others hear
// of what ends a run only.
func (v *visit) tellTry(x *flows.Execution, reason flows.Reason) {
	r := flows.Report{ID: newID(), Kind: "try", Time: Now(), Reason: reason, Name: x.Env.Tried, IP: v.ip()}
	if x.User != nil {
		r.User, r.Name = x.User.Key, x.User.Name
	}
	for name, s := range v.app.reporters {
		if _, outward := s.(flows.Outward); !outward {
			v.app.tellSignal(v.r.Context(), name, r)
		}
	}
}

func (a *App) tellSignal(ctx context.Context, name string, r flows.Report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := a.safely("telling a signal", func() error { return a.reporters[name].Report(ctx, &r) })
	if err != nil {
		a.log.Warn("a signal was not told what came of a try", zap.String("signal", name), zap.String("id", r.ID), zap.Error(err))
	}
}

// reportsKept is how many wait in the store, of all nodes; what comes on top is dropped.
var reportsKept = 4096

const (
	reportsPage   = 64 // are looked at together
	reportFor     = 24 * time.Hour
	reportTimeout = 10 * time.Second // of one try; shorter than the shortest pause
	reportSave    = 2 * time.Second
	// reportsEvery is the time between two looks for what another node left.
	reportsEvery = 15 * time.Second
	reportsIndex = "o"
)

// reportPauses are behind each try; the last one is kept to. Whoever takes a report has
// it for that long: no other node tells it meanwhile.
var reportPauses = []time.Duration{15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

// queued is a report that waits in the store, sealed.
type queued struct {
	Signal string       `json:"signal"`
	Report flows.Report `json:"report"`
	Tries  int          `json:"tries,omitempty"`
	// Due is when somebody may take it, Until when it is given up.
	Due   time.Time `json:"due"`
	Until time.Time `json:"until"`
}

var errQueueFull = errors.New("too many wait")

// queueReport keeps a report until its signal took it.
func (a *App) queueReport(ctx context.Context, signal string, r flows.Report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportSave)
	defer cancel()
	now := Now()
	q := queued{Signal: signal, Report: r, Due: now, Until: now.Add(reportFor)}
	key := "o/" + now.UTC().Format("20060102150405.000000") + newID()
	waiting, err := a.store.Members(ctx, reportsIndex, "", reportsKept)
	if err == nil && len(waiting) >= reportsKept {
		err = errQueueFull
	}
	var sealed []byte
	if err == nil {
		sealed, err = a.sealReport(ctx, key, q)
	}
	if err == nil {
		err = a.store.Create(ctx, key, sealed, reportFor+time.Hour, reportsIndex)
	}
	if err != nil {
		a.reported(signal, "dropped")
		a.log.Warn("a signal will not be told what came of a login", zap.String("signal", signal), zap.String("id", r.ID), zap.Error(err))
		return
	}
	a.reports.hurry.Store(true)
}

func (a *App) reported(signal, outcome string) {
	a.shared.metrics.reports.WithLabelValues(signal, outcome).Inc()
}
