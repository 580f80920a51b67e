package module

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// adminSession is what the admin API tells of a session; the id is the public one.
type adminSession struct {
	ID       string        `json:"id"`
	User     flows.UserKey `json:"user"`
	Name     string        `json:"name"`
	Provider string        `json:"provider"`
	Flows    []string      `json:"flows"`
	Started  time.Time     `json:"started"`
	// Seen is at most a minute behind.
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
	IP      string    `json:"ip,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Origins []string  `json:"origins"`
}

// adminSessions lists sessions, or ends all there are.
func (a *App) adminSessions(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodDelete {
		return a.adminEndAll(w, r)
	}
	return a.adminList(w, r)
}

func (a *App) adminList(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	user, err := userKeyOf(q.Get("user"))
	if err != nil {
		return err
	}
	n, err := adminLimit(r)
	if err != nil {
		return err
	}
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	cards, err := a.sessions.List(r.Context(), user, q.Get("after"), n)
	if err != nil {
		return adminUnavailable(err)
	}
	out := struct {
		Sessions []adminSession `json:"sessions"`
		// After continues the list; missing when there is no more.
		After string `json:"after,omitempty"`
	}{Sessions: make([]adminSession, 0, len(cards))}
	for _, c := range cards {
		out.Sessions = append(out.Sessions, adminSession{
			ID: c.ID, User: c.User, Name: c.Name, Provider: c.Provider, Flows: orderOf(nil, c.Flows),
			Started: c.Started.UTC(), Seen: c.Seen.UTC(), Expires: c.Expires.UTC(), IP: c.IP, Agent: c.Agent, Origins: c.Origins,
		})
	}
	if len(cards) == n {
		out.After = cards[n-1].ID
	}
	return adminJSON(w, out)
}

func (a *App) adminEnd(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, "/identity/sessions/")
	unknown := caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no session has this id")}
	if id == "" || strings.Contains(id, "/") {
		return unknown
	}
	a.adminTakes(r, audit.Event{Session: id, Reason: flows.ReasonRevoked})
	c, err := a.sessions.Card(r.Context(), id)
	if errors.Is(err, flows.ErrNotFound) || err == nil && !c.Ended.IsZero() {
		a.shared.cache.End(id)
		return unknown
	}
	if err == nil {
		err = a.endSession(r.Context(), id, flows.ReasonRevoked, nil)
	}
	if err != nil {
		// Dead on this node at once; the store hears of it as soon as it can.
		a.shared.cache.End(id)
		a.endLater(&flowsession.Session{Card: flowsession.Card{ID: id, Expires: Now().Add(a.limits.Lifetime)}}, flows.ReasonRevoked)
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"ended": 1})
}

func (a *App) adminEndUser(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	a.adminTakes(r, audit.Event{User: user, Reason: flows.ReasonRevoked})
	ended, err := a.endUser(r.Context(), user)
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"ended": ended})
}

// adminEndAll ends everybody's sessions, and logins under way.
func (a *App) adminEndAll(w http.ResponseWriter, r *http.Request) error {
	if err := adminConfirmed(r, "all"); err != nil {
		return err
	}
	a.adminTakes(r, audit.Event{Reason: flows.ReasonRevoked})
	// Whoever asked may hang up: it is not left half done.
	ctx := context.WithoutCancel(r.Context())
	if err := a.sessions.NotBeforeAll(ctx, Now()); err != nil {
		return adminUnavailable(err)
	}
	ended, err := a.endListed(ctx, "")
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"ended": ended})
}
