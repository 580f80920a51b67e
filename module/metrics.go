package module

import (
	"errors"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// metrics are the gateway's counters. Caddy's registry is one per config, so
// they live in what survives reloads, and every config's registry reads the
// same ones. A signed-in request that is let through touches none of them.
//
// A label is a configured name or one of our constants, never what a client or
// a provider sent: the number of series is bounded by the configuration (B30).
type metrics struct {
	begun     prometheus.Counter
	logins    *prometheus.CounterVec
	tries     *prometheus.CounterVec
	denials   *prometheus.CounterVec
	ended     *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	messages  *prometheus.CounterVec
	held      *prometheus.CounterVec
	started   *prometheus.CounterVec
	reports   *prometheus.CounterVec
	panics    prometheus.Counter
	unwritten prometheus.Counter
	dropped   prometheus.Counter
	store     *prometheus.HistogramVec
	scores    *prometheus.HistogramVec
	unread    *prometheus.CounterVec

	mu      sync.Mutex
	reasons map[flows.Reason]bool
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sallyport", Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sallyport", Name: name, Help: help}, labels)
	}
	return &metrics{
		begun:     counter("logins_begun_total", "Logins begun, finished or not."),
		logins:    vector("logins_total", "Logins that ended, by provider, by the kind of step that refused, and by outcome: granted, changed (a session was added to) or denied.", "provider", "step", "outcome", "reason"),
		tries:     vector("tries_refused_total", "Answers of people who are not signed in that were refused; too_many_tries means by a used-up budget.", "reason"),
		denials:   vector("denials_total", "Requests refused outside of a login.", "reason"),
		ended:     vector("sessions_ended_total", "Sessions ended by this node.", "reason"),
		refreshes: vector("refreshes_total", "Logins renewed at their provider, by outcome: renewed, ended (it is over, or somebody else answered) or failed (tried again later).", "provider", "outcome"),
		messages:  vector("messages_total", "Messages to people, by outcome: sent (the far side took it), failed (a try), unsent (a notice that was given up) or no_address (a notice to somebody of whom no vouched address is known).", "messenger", "kind", "outcome"),
		held:      vector("held_requests_total", "Forms that met an expired session or a step-up: kept, sent on afterwards, or refused (their people send them again).", "outcome"),
		started:   vector("event_flows_total", "Flows that events started, by outcome: done, denied, failed or dropped (too many waited).", "flow", "outcome"),
		reports:   vector("reports_total", "What came of logins, told to signals outside, by outcome: told, failed (a try), refused (the far side did not want it) or dropped (given up, or too many waited).", "signal", "outcome"),
		panics:    counter("panics_total", "Panics of a guest that were caught; each is a bug, and its request was refused."),
		unwritten: counter("audit_failures_total", "Entries of the trail that a sink did not take."),
		dropped:   counter("audit_dropped_total", "Entries of the trail that were lost because its sinks are too slow."),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Name: "store_operation_seconds", Help: "Time of one operation of the session store.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10},
		}, []string{"operation", "outcome"}),
		scores: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "sallyport", Name: "risk_score", Help: "Scores that risk steps found, by flow and level; level observed holds those that did not count.",
			Buckets: []float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100},
		}, []string{"flow", "level"}),
		unread:  vector("signal_failures_total", "Readings, and notes of what is usual, that a signal failed at, by cause: late, panic or error.", "signal", "cause"),
		reasons: map[flows.Reason]bool{},
	}
}

// provisionMetrics shows the counters on this config's registry.
func (a *App) provisionMetrics(ctx caddy.Context) error {
	reg, m := ctx.GetMetricsRegistry(), a.shared.metrics
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		m.begun, m.logins, m.tries, m.denials, m.ended, m.refreshes, m.messages, m.held, m.started, m.reports, m.panics, m.unwritten, m.dropped, m.store, m.scores, m.unread, nodeState{},
	} {
		var twice prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &twice) {
			return err
		}
	}
	return nil
}

// maxReasons bounds the reasons that are told apart. Ours are fewer; a guest that
// makes up new ones all the time fills the rest and no more.
const maxReasons = 96

// reason is a label: a reason as it is written in code, or "other".
func (m *metrics) reason(r flows.Reason) string {
	if r == "" {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reasons[r] {
		return string(r)
	}
	if len(m.reasons) >= maxReasons || len(r) > 40 || !flows.ValidName(string(r)) {
		return "other"
	}
	m.reasons[r] = true
	return string(r)
}

// providerLabel is a configured provider's name, or "".
func (a *App) providerLabel(name string) string {
	if a.called(name) == nil {
		return ""
	}
	return name
}

// stepLabel is the kind of the step a run stands at.
func (a *App) stepLabel(x *flows.Execution) string {
	p, ok := a.run(x.Flow)
	if !ok {
		return ""
	}
	if s, ok := p.StepAt(x.PC).(caddy.Module); ok {
		return s.CaddyModule().ID.Name()
	}
	return ""
}

// granted counts a login that made or changed a session.
func (a *App) granted(x *flows.Execution, changed bool) {
	outcome := "granted"
	if changed {
		outcome = "changed"
	}
	a.shared.metrics.logins.WithLabelValues(a.providerLabel(x.User.Provider), "", outcome, "").Inc()
}

// refreshed counts what came of renewing a login at its provider.
func (a *App) refreshed(provider string, over bool, err error) {
	outcome := "failed"
	switch {
	case err == nil:
		outcome = "renewed"
	case over:
		outcome = "ended"
	}
	a.shared.metrics.refreshes.WithLabelValues(a.providerLabel(provider), outcome).Inc()
}

// count hears of every event of the trail.
func (a *App) count(e audit.Event) {
	m := a.shared.metrics
	switch e.Kind {
	case audit.LoginDenied:
		m.logins.WithLabelValues(a.providerLabel(e.Provider), e.Step, "denied", m.reason(e.Reason)).Inc()
	case audit.Denied:
		m.denials.WithLabelValues(m.reason(e.Reason)).Inc()
	case audit.SessionEnded, audit.Logout:
		m.ended.WithLabelValues(m.reason(e.Reason)).Inc()
	case audit.Login, audit.SessionChanged: // counted when the session is there
	}
}

// assessed counts what the risk steps of a run found.
func (m *metrics) assessed(x *flows.Execution) {
	if r := x.Risk; r.Observed != r.Score {
		m.scores.WithLabelValues(x.Flow, "observed").Observe(float64(r.Observed))
	} else {
		m.scores.WithLabelValues(x.Flow, r.Level).Observe(float64(r.Score))
	}
}
