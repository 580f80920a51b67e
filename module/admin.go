package module

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

func init() { caddy.RegisterModule(AdminAPI{}) }

// AdminAPI serves /identity/… on Caddy's admin endpoint: who is signed in, ending
// sessions, what is kept of people, keeping them out, releasing names, the flows, how the providers
// are, what would happen to a request, and drills. Who may reach the admin endpoint may do all of it; every call, reading
// too, is an event of the trail (I26). A <key> is a user's, a <name> one that applications
// see, both as base64url.
//
//	GET    /identity/sessions?user=<key>&after=<id>&n=<up to 1000>
//	DELETE /identity/sessions?all=yes
//	DELETE /identity/sessions/<id>
//	GET    /identity/users?disabled=yes&after=<place>&n=<up to 1000>
//	GET    /identity/users/<key>
//	DELETE /identity/users/<key>?erase=yes
//	POST   /identity/users/<key>/disabled {"reason"}
//	DELETE /identity/users/<key>/disabled
//	DELETE /identity/users/<key>/sessions
//	GET    /identity/users/<key>/factors
//	DELETE /identity/users/<key>/factors
//	GET    /identity/users/<key>/devices
//	DELETE /identity/users/<key>/devices
//	DELETE /identity/users/<key>/devices/<id>
//	DELETE /identity/names/<name>
//	GET    /identity/flows
//	GET    /identity/flows/schema
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
		adminRoute("/identity/sessions", (*App).adminSessions, http.MethodGet, http.MethodDelete),
		adminRoute("/identity/sessions/", (*App).adminEnd, http.MethodDelete),
		adminRoute("/identity/users", (*App).adminUsers, http.MethodGet),
		adminRoute("/identity/users/", (*App).adminUser, http.MethodGet, http.MethodPost, http.MethodDelete),
		adminRoute("/identity/names/", (*App).adminRelease, http.MethodDelete),
		adminRoute("/identity/flows", (*App).adminFlows, http.MethodGet),
		adminRoute("/identity/flows/schema", (*App).adminFlowSchema, http.MethodGet),
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
		a.enter()
		defer a.leave()
		call := new(adminCall)
		r = r.WithContext(context.WithValue(r.Context(), adminCallKey{}, call))
		err = adminMethod(w, r, pattern, methods...)
		if err == nil {
			err = serve(a, w, r)
		}
		if !call.told { // refused before anything was looked at
			e := adminEvent(r, audit.Event{})
			if err != nil {
				e.Detail = err.Error()
			}
			a.trail.Note(e)
		}
		return err
	})}
}

// adminCall is what is known of a call while it is served.
type adminCall struct{ told bool }

type adminCallKey struct{}

func adminMethod(w http.ResponseWriter, r *http.Request, path string, methods ...string) error {
	if slices.Contains(methods, r.Method) {
		return nil
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("%s is for %s", path, strings.Join(methods, " and "))}
}

// adminAudit writes the call before anything is told or done.
func (a *App) adminAudit(r *http.Request, e audit.Event) error {
	if c, ok := r.Context().Value(adminCallKey{}).(*adminCall); ok {
		c.told = true
	}
	if _, err := a.trail.Before(r.Context(), adminEvent(r, e)); err != nil {
		return adminUnavailable(err)
	}
	return nil
}

// adminTakes is adminAudit for a call that takes something away: it goes on without the
// trail, which is logged (I25).
func (a *App) adminTakes(r *http.Request, e audit.Event) {
	if err := a.adminAudit(r, e); err != nil {
		a.log.Error(err.Error())
	}
}

func adminEvent(r *http.Request, e audit.Event) audit.Event {
	e.ID, e.Time, e.Kind = newID(), Now(), audit.Admin
	e.Method, e.Host, e.Path, e.IP = r.Method, r.Host, r.URL.Path, r.RemoteAddr
	return e
}

// adminConfirmed refuses what cannot be undone unless the caller says so.
func adminConfirmed(r *http.Request, word string) error {
	if r.URL.Query().Get(word) == "yes" {
		return nil
	}
	return badRequest(fmt.Errorf("this cannot be undone: say ?%s=yes", word))
}

// adminLimit is how many of a list are asked for, 100 unless the call says so.
func adminLimit(r *http.Request) (int, error) {
	s := r.URL.Query().Get("n")
	if s == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > adminPage {
		return 0, badRequest(fmt.Errorf("n is a number from 1 to %d, not '%.20s'", adminPage, s))
	}
	return n, nil
}

// adminPage bounds one answer.
const adminPage = 1000

func badRequest(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
}

func adminUnavailable(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
}

// userKeyOf reads a user key as it stands in paths and queries; "" is everybody.
func userKeyOf(text string) (flows.UserKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) > 0 && !strings.Contains(string(b), ":") {
		return "", badRequest(errors.New("a user is the base64url of <realm>:<subject>"))
	}
	return flows.UserKey(b), nil
}

func adminJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

var _ caddy.AdminRouter = AdminAPI{}
