package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// Events are what a flow may be started by: kinds of the trail that are about somebody.
var Events = []string{
	string(audit.AccountErased), string(audit.AnswersKept), string(audit.ConsentGiven), string(audit.DeviceForgotten),
	string(audit.DeviceTrusted), string(audit.FactorAdded), string(audit.FactorRemoved), string(audit.FactorRenamed),
	string(audit.FactorsReset), string(audit.Login), string(audit.LoginDenied), string(audit.Logout),
	string(audit.SessionChanged), string(audit.SessionEnded), string(audit.SteppedUp),
	string(audit.UserDisabled), string(audit.UserEnabled),
}

// events are the flows that start by themselves, and the runs that wait for their turn.
type events struct {
	flows map[audit.Kind][]*flows.Program // as loaded

	backlog[*flows.Execution]
}

// requested are the flows that requests start.
func (a *App) requested() []string {
	return slices.DeleteFunc(orderOf(nil, a.Flows), func(name string) bool { return len(a.Flows[name].On) > 0 })
}

// bindEvents makes a flow ready that events start: there is a user, and nobody to ask.
func (a *App) bindEvents(name string, f *Flow) error {
	at := func(err error) error { return fmt.Errorf("flow %s%s: %w", name, written(f.Source), err) }
	if err := flows.Unattended(a.steps[name]); err != nil {
		return at(err)
	}
	p, err := flows.CompileOver(name, a.digest(name), a.steps[name])
	if err != nil {
		return at(err)
	}
	if a.events.flows == nil {
		a.events.flows = map[audit.Kind][]*flows.Program{}
	}
	for i, on := range f.On {
		switch {
		case !slices.Contains(Events, on):
			return at(fmt.Errorf("no event is called '%s'; there are: %s", on, strings.Join(Events, ", ")))
		case slices.Contains(f.On[:i], on):
			return at(fmt.Errorf("on %s is there twice", on))
		}
		a.events.flows[audit.Kind(on)] = append(a.events.flows[audit.Kind(on)], p)
	}
	return nil
}

// started has the flows of an event run beside whatever made it: it never waits, and
// nothing that happens in them reaches back (I25).
func (a *App) started(e audit.Event) {
	for _, p := range a.events.flows[e.Kind] {
		if e.User == "" {
			return // strangers start nothing
		}
		if !a.events.add(runOf(p, e), func() { a.aside("flows of events", a.runWaiting) }) {
			a.eventOutcome(p.Name, "dropped")
			a.log.Warn("a flow was not started by an event: too many wait", zap.String("flow", p.Name), zap.String("event", e.ID))
		}
	}
}

// runOf is a run of its own, of who the event is about.
func runOf(p *flows.Program, e audit.Event) *flows.Execution {
	u := e.Person
	if u == nil || u.Key != e.User { // the trail knows no more of them
		realm, subject, _ := strings.Cut(string(e.User), ":")
		u = &flows.User{Key: e.User, Realm: realm, Subject: subject, Name: e.Name, Provider: e.Provider}
	}
	return &flows.Execution{
		ID: newID(), Flow: p.Name, Digest: p.Digest, User: u, Inherited: true, Started: Now(),
		Request: flows.Request{Method: e.Method, Host: e.Host, Path: e.Path, IP: e.IP},
		Event:   &flows.Event{ID: e.ID, Kind: string(e.Kind), Time: e.Time, Reason: e.Reason, Factor: e.Factor, Item: e.Item, Session: e.Session},
	}
}

func (a *App) runWaiting() {
	for x, ok := a.events.next(); ok; x, ok = a.events.next() {
		outcome := "failed"
		err := a.safely("a flow of an event", func() (err error) { outcome, err = a.runEvent(x); return err })
		a.eventOutcome(x.Flow, outcome)
		if err != nil {
			a.log.Warn("a flow that an event started failed", zap.String("flow", x.Flow), zap.String("event", x.Event.ID), zap.String("kind", x.Event.Kind), zap.Error(err))
		}
	}
}

// runEvent tries until the flow ends; each further try goes on at the step that failed.
func (a *App) runEvent(x *flows.Execution) (outcome string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), tryFor) // a reload ends nothing
	defer cancel()
	outcome = "failed"
	err = persist(ctx, func(ctx context.Context) (err error) { outcome, err = a.advanceEvent(ctx, x); return err })
	return outcome, err
}

func (a *App) advanceEvent(ctx context.Context, x *flows.Execution) (string, error) {
	started := a.events.flows[audit.Kind(x.Event.Kind)]
	p := started[slices.IndexFunc(started, func(p *flows.Program) bool { return p.Name == x.Flow })]
	x.Env = flows.Env{Now: Now()}
	out, fin, err := p.Advance(ctx, x, nil)
	switch {
	case err != nil:
		return "failed", err
	case fin != nil:
		return "done", nil
	}
	var d ended
	if err := out.Accept(&d); err != nil {
		return "failed", err
	}
	return "denied", nil
}

func (a *App) eventOutcome(flow, outcome string) {
	a.shared.metrics.started.WithLabelValues(flow, outcome).Inc()
}

// ended takes the outcome of a flow that has nobody to ask: it may only end.
type ended struct{}

var errAsks = errors.New("a step wants to ask somebody")

func (*ended) Continue() error                      { return errAsks }
func (*ended) Take(int) error                       { return errAsks }
func (*ended) Ask(flows.Page) error                 { return errAsks }
func (*ended) Redirect(string) error                { return errAsks }
func (*ended) Post(string, []flows.FormField) error { return errAsks }
func (*ended) Deny(flows.Denial) error              { return nil }

var _ flows.Visitor = (*ended)(nil)
