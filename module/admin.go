package module

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

func init() { caddy.RegisterModule(AdminAPI{}) }

// AdminAPI serves /identity/… on Caddy's admin endpoint: who is signed in, ending
// sessions, resetting factors, releasing names, how the providers are, what would happen to a request, and drills. Who may reach the admin endpoint may do
// all of it; every call, reading too, is an event of the trail (I26).
//
//	GET    /identity/sessions?user=<key, base64url>&after=<id>&n=<up to 1000>
//	DELETE /identity/sessions/<id>
//	DELETE /identity/users/<key, base64url>/sessions
//	GET    /identity/users/<key, base64url>/factors
//	DELETE /identity/users/<key, base64url>/factors
//	DELETE /identity/names/<name, base64url>
//	GET    /identity/providers
//	GET    /identity/audit
//	POST   /identity/explain {"url", "user", …}
//	POST   /identity/drills {"provider", "user", "for"}
//	DELETE /identity/drills/<id>
type AdminAPI struct{}

// CaddyModule returns the Caddy module information.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.identity", New: func() caddy.Module { return new(AdminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		adminRoute("/identity/sessions", (*App).adminList, http.MethodGet),
		adminRoute("/identity/sessions/", (*App).adminEnd, http.MethodDelete),
		adminRoute("/identity/users/", (*App).adminUser, http.MethodGet, http.MethodDelete),
		adminRoute("/identity/names/", (*App).adminRelease, http.MethodDelete),
		adminRoute("/identity/providers", (*App).adminProviders, http.MethodGet),
		adminRoute("/identity/audit", (*App).adminTrail, http.MethodGet),
		adminRoute("/identity/explain", (*App).adminExplain, http.MethodPost),
		adminRoute("/identity/drills", (*App).adminDrill, http.MethodPost),
		adminRoute("/identity/drills/", (*App).adminEndDrill, http.MethodDelete),
	}
}

func adminRoute(pattern string, serve func(*App, http.ResponseWriter, *http.Request) error, methods ...string) caddy.AdminRoute {
	return caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		// Not the app this router was provisioned with: after a refused reload that
		// one belongs to a config that never ran.
		a, err := running()
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
		}
		if err := adminMethod(w, r, pattern, methods...); err != nil {
			return err
		}
		a.enter()
		defer a.leave()
		return serve(a, w, r)
	})}
}

func adminMethod(w http.ResponseWriter, r *http.Request, path string, methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("%s is for %s", path, strings.Join(methods, " and "))}
}

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

// adminPage bounds one answer.
const adminPage = 1000

func (a *App) adminList(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	user, err := userKeyOf(q.Get("user"))
	if err != nil {
		return err
	}
	n := 100
	if s := q.Get("n"); s != "" {
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > adminPage {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("n is a number from 1 to %d, not '%s'", adminPage, s)}
		}
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
	if err := a.adminAudit(r, audit.Event{Session: id, Reason: flows.ReasonRevoked}); err != nil {
		a.log.Error(err.Error()) // what takes away goes on without the trail (I25)
	}
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

// adminUser serves what there is of one person.
func (a *App) adminUser(w http.ResponseWriter, r *http.Request) error {
	text, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/identity/users/"), "/")
	serve, methods := a.adminEndUser, []string{http.MethodDelete}
	switch {
	case what == "factors" && r.Method == http.MethodDelete:
		serve = a.adminResetFactors
	case what == "factors":
		serve, methods = a.adminFactors, []string{http.MethodGet, http.MethodDelete}
	case what != "sessions" || text == "":
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the path is /identity/users/<key, base64url>/sessions or …/factors")}
	}
	if err := adminMethod(w, r, "/identity/users/<key>/"+what, methods...); err != nil {
		return err
	}
	user, err := userKeyOf(text)
	if err != nil {
		return err
	}
	if user == "" {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("no user is named")}
	}
	return serve(w, r, user)
}

func (a *App) adminEndUser(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	if err := a.adminAudit(r, audit.Event{User: user, Reason: flows.ReasonRevoked}); err != nil {
		a.log.Error(err.Error())
	}
	ended, err := a.endUser(r.Context(), user)
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"ended": ended})
}

// adminAudit writes the call before anything is told or done.
func (a *App) adminAudit(r *http.Request, e audit.Event) error {
	e.ID, e.Time, e.Kind = newID(), Now(), audit.Admin
	e.Method, e.Host, e.Path, e.IP = r.Method, r.Host, r.URL.Path, r.RemoteAddr
	if _, err := a.trail.Before(r.Context(), e); err != nil {
		return adminUnavailable(err)
	}
	return nil
}

func adminUnavailable(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

// userKeyOf reads a user key as it stands in paths and queries; "" is everybody.
func userKeyOf(text string) (flows.UserKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) > 0 && !strings.Contains(string(b), ":") {
		return "", caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: errors.New("a user is the base64url of <realm>:<subject>")}
	}
	return flows.UserKey(b), nil
}

func adminJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

var _ caddy.AdminRouter = AdminAPI{}
