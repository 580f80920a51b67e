package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// provisionRisk resolves `risk every`.
func (p *Protect) provisionRisk() error {
	p.every = time.Duration(p.RiskEvery)
	switch {
	case p.every < 0:
		return errors.New("risk every: the time must be positive")
	case p.every > 0 && !flows.Surely(p.app.steps[p.Flow], "risk"):
		return fmt.Errorf("risk every reads anew what the flow read, but flow %s has no risk step that always runs", p.Flow)
	}
	return nil
}

// riskOf is what the trail is told of a run's risk; nil: none was read in it.
func riskOf(x *flows.Execution) *audit.Risk {
	if !readRisk(x) {
		return nil
	}
	return &audit.Risk{Score: x.Risk.Score, Level: x.Risk.Level, Observed: x.Risk.Observed, Readings: x.Readings}
}

// noted is what a signal noted of a person before.
func (a *App) noted(ctx context.Context, user flows.UserKey, signal string) (json.RawMessage, error) {
	p, err := a.profileOf(ctx, user)
	if err != nil {
		return nil, err
	}
	return p.Signals[signal], nil
}

// unread counts and logs a signal that failed: it is unknown, and nobody is refused
// for it.
func (a *App) unread(signal string, err error) {
	cause := "error"
	switch {
	case errors.Is(err, flows.ErrLate):
		cause = "late"
	case strings.HasPrefix(err.Error(), "panic"):
		cause = "panic"
	}
	a.shared.metrics.unread.WithLabelValues(signal, cause).Inc()
	a.log.Warn("a signal is unknown: it failed", zap.String("signal", signal), zap.Error(err))
}
