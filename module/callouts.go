package module

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// callOuts are the applications of all handlers that are told of ends.
type callOuts struct {
	mu   sync.Mutex
	byID map[string]*callOut

	// looking: one look for overdue sessions at a time, the next from `after` on.
	looking atomic.Bool
	after   string
	next    time.Time
}

// overduePage is how many cards are looked at within a second, overduePause the
// time between two rounds.
const (
	overduePage  = 100
	overduePause = 5 * time.Second
)

func (p *Protect) provisionCallOuts() error {
	for _, cfg := range p.OnLogout {
		c, err := p.app.callOutOf(cfg)
		if err != nil {
			return fmt.Errorf("on_logout%s: %w", written(cfg.Source), err)
		}
		if !slices.Contains(p.callOuts, c) {
			p.callOuts = append(p.callOuts, c)
		}
	}
	return nil
}

// callOutOf makes an application of an on_logout line, or finds it when another
// protect named the same. Its id goes by what was written, so that cards find it
// after a restart, on other nodes, and when lines moved.
func (a *App) callOutOf(cfg *CallOutConfig) (*callOut, error) {
	sum := sha256.Sum256([]byte("on_logout " + cfg.URL))
	id := base64.RawURLEncoding.EncodeToString(sum[:9])
	a.callOuts.mu.Lock()
	defer a.callOuts.mu.Unlock()
	if c := a.callOuts.byID[id]; c != nil {
		return c, nil
	}
	resolved, err := resolveAddress(cfg.URL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(resolved)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" {
		return nil, errors.New("the address must be http:// or https:// with a host and without a fragment") // never quoted: it may hold a secret
	}
	if u.User != nil && !strings.Contains(cfg.URL, "{") {
		a.log.Warn("the secret of an on_logout address is written in clear: it can be read in /config/ and autosave.json; use {file./…} or {env.…}", zap.String("at", cfg.Source))
	}
	c := &callOut{
		id: id, url: resolved, name: cfg.Source, log: a.log,
		client: outbound.New(outbound.Options{Trusted: []string{u.Hostname()}, Timeout: callOutTimeout, MaxBody: 64 << 10}),
	}
	if a.callOuts.byID == nil {
		a.callOuts.byID = map[string]*callOut{}
	}
	a.callOuts.byID[id] = c
	return c, nil
}

// resolveAddress fills in placeholders, so that no byte of a secret changes where
// the address leads; one that stands first may be the address itself.
func resolveAddress(written string) (string, error) {
	first := strings.HasPrefix(written, "{")
	return caddy.NewReplacer().ReplaceFunc(written, func(name string, val any) (any, error) {
		text := caddy.ToString(val)
		if text == "" {
			return nil, fmt.Errorf("{%s} is empty or unknown", name)
		}
		if first {
			first = false
			return text, nil
		}
		return strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), nil
	})
}

// noteCallOuts keeps on the card that the session was here, once, beside the request.
func (v *visit) noteCallOuts(live *session.Live) {
	a, s := v.app, v.session
	for _, c := range v.p.callOuts {
		if slices.Contains(s.Card.CallOuts, c.id) {
			continue
		}
		if _, noted := live.Noted.LoadOrStore(c.id, true); noted {
			continue
		}
		a.enter()
		go func() {
			defer a.leave()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			a.aside("noting a visit", func() { a.noteCallOut(ctx, s, c, live) })
		}()
	}
}

func (a *App) noteCallOut(ctx context.Context, s *flowsession.Session, c *callOut, live *session.Live) {
	err := a.sessions.TellAtEnd(ctx, s.ID(), c.id)
	switch {
	case errors.Is(err, flowsession.ErrEnded), errors.Is(err, flows.ErrNotFound):
		a.shared.cache.End(s.ID())
		why := ReasonExpired
		if card, err := a.sessions.Card(ctx, s.ID()); err == nil && card.Reason != "" {
			why = card.Reason
		}
		a.tellApplication(c, &s.Card, why) // who ended it did not know
	case err != nil:
		live.Noted.Delete(c.id) // the next request tries again
		a.log.Warn("not noted that an application is to be told of the end of a session", zap.String("session", s.ID()), zap.Error(err))
	}
}

// tellApplications tells those where an ended session was. The caller was the
// first to end it, so nobody else does.
func (a *App) tellApplications(card *flowsession.Card, why flows.Reason) {
	for _, id := range card.CallOuts {
		a.callOuts.mu.Lock()
		c := a.callOuts.byID[id]
		a.callOuts.mu.Unlock()
		if c == nil {
			a.log.Info("a session ended that was at an application whose on_logout is not in this config", zap.String("session", card.ID))
			continue
		}
		a.tellApplication(c, card, why)
	}
}

func (a *App) tellApplication(c *callOut, card *flowsession.Card, why flows.Reason) {
	c.add(&notice{
		Event: "session_ended", Session: card.ID, User: card.Name, Reason: why, Time: Now().UTC().Format(time.RFC3339),
	}, func(f func()) { go a.aside("telling an application", f) }) // outlives the config, which it does not hold: it ends by itself
}

// endOverdue ends sessions that are over though nobody noticed: used by nobody
// since a restart, or revoked where their node could not be reached. Applications
// that want to be told would not hear of those.
func (a *App) endOverdue(ctx context.Context) {
	o := &a.callOuts
	o.mu.Lock()
	due := len(o.byID) > 0 && !time.Now().Before(o.next)
	o.mu.Unlock()
	if !due || !o.looking.CompareAndSwap(false, true) {
		return
	}
	a.enter()
	go func() {
		defer a.leave()
		defer o.looking.Store(false)
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		a.aside("looking for overdue sessions", func() { a.endFound(ctx) })
	}()
}

func (a *App) endFound(ctx context.Context) {
	o := &a.callOuts
	over, next, err := a.sessions.Overdue(ctx, o.after, overduePage)
	if err != nil {
		a.log.Debug("looking for overdue sessions", zap.Error(err))
	}
	for _, s := range over {
		switch {
		case s.Revoked:
			_ = a.endSession(ctx, s.ID, flows.ReasonRevoked, nil)
		case !a.shared.cache.Alive(s.ID, Now()): // its card may lag behind while the store is slow
			_ = a.endSession(ctx, s.ID, ReasonExpired, nil)
		}
	}
	o.after = next
	if next == "" {
		o.mu.Lock()
		o.next = time.Now().Add(overduePause)
		o.mu.Unlock()
	}
}
