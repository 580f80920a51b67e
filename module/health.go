package module

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// A fallback stands in for a provider while the checks of this node say that it is
// down, and for no other reason: what a browser can bring about, such as a login that
// fails, is never asked (I23). Every node judges for itself, by the way it has to the
// provider.

// judged is what the checks of one provider came to. It survives reloads: an outage
// does not end because somebody changed the configuration.
type judged struct {
	mu   sync.Mutex
	down bool
	// since is when it changed, checked when the newest check ended; zero: never.
	since, checked time.Time
	err            error // of the newest check
	row            int   // checks in a row that say otherwise
}

// take is one check's answer. It reports a change.
func (j *judged) take(err error, rule flows.HealthRule, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err, j.checked = err, now
	if (err != nil) == j.down {
		j.row = 0
		return false
	}
	j.row++
	if j.down && j.row < rule.Passes || !j.down && j.row < rule.Fails {
		return false
	}
	j.down, j.since, j.row = !j.down, now, 0
	return true
}

func (j *judged) isDown() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.down
}

// state is a judgement as the admin API tells of it.
func (j *judged) state() (down bool, since, checked time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.down, j.since, j.checked, j.err
}

// check is one provider that is checked, and how.
type check struct {
	provider *flows.Provider
	guest    flows.Checker
	rule     flows.HealthRule
	judged   *judged
}

// provisionHealth finds the providers that some step wants to know about.
func (a *App) provisionHealth() error {
	a.checks = map[string]*check{}
	for _, name := range orderOf(nil, a.steps) {
		for s := range flows.AllSteps(a.steps[name]) {
			w, ok := s.(flows.Watcher)
			if !ok {
				continue
			}
			for _, p := range w.Watches() {
				if err := a.watch(p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *App) watch(p *flows.Provider) error {
	g, ok := p.Guest.(flows.Checker)
	if !ok || a.checks[p.Name] != nil {
		return nil
	}
	rule, err := p.Guest.Options().HealthRule()
	if err != nil {
		return fmt.Errorf("provider %s: %w", p.Name, err)
	}
	a.checks[p.Name] = &check{provider: p, guest: g, rule: rule, judged: a.shared.judgedOf(p.Name + "\x00" + a.raw["provider:"+p.Name])}
	return nil
}

// judgedOf is the judgement of a provider as it is configured.
func (s *shared) judgedOf(key string) *judged {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.judged == nil {
		s.judged = map[string]*judged{}
	}
	if s.judged[key] == nil {
		s.judged[key] = new(judged)
	}
	return s.judged[key]
}

// onlyJudged forgets providers that are configured no more.
func (s *shared) onlyJudged(checks map[string]*check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, j := range s.judged {
		kept := false
		for _, c := range checks {
			kept = kept || c.judged == j
		}
		if !kept {
			delete(s.judged, key)
		}
	}
}

// checkHealth asks the providers until ctx ends.
func (a *App) checkHealth(ctx context.Context) {
	a.shared.onlyJudged(a.checks)
	for _, c := range a.checks {
		go func() {
			for {
				a.checkOnce(ctx, c)
				if !rest(ctx, jittered(c.rule.Interval)) {
					return
				}
			}
		}()
	}
}

// jittered moves a time by up to a tenth either way.
func jittered(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d/5)+1))
	if err != nil {
		return d
	}
	return d - d/10 + time.Duration(n.Int64())
}

// rest waits; false when ctx ended before.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (a *App) checkOnce(ctx context.Context, c *check) {
	within, cancel := context.WithTimeout(ctx, c.rule.Timeout)
	defer cancel()
	err := a.safely("checking provider "+c.provider.Name, func() error { return c.guest.Check(within) })
	if ctx.Err() != nil || !c.judged.take(err, c.rule, Now()) {
		return
	}
	e := audit.Event{ID: newID(), Time: Now(), Kind: audit.ProviderUp, Provider: c.provider.Name}
	if err == nil {
		a.log.Info("provider is back: fallbacks for it end", zap.String("provider", c.provider.Name))
	} else {
		e.Kind, e.Reason, e.Detail = audit.ProviderDown, flows.ReasonProviderDown, err.Error()
		a.log.Error("provider is down: fallbacks for it stand in", zap.String("provider", c.provider.Name), zap.Error(err))
	}
	a.trail.Note(e)
}
