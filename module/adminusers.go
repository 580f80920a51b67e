package module

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// adminUserCalls are what there is of one person, by the word behind their key and the method.
var adminUserCalls = map[string]map[string]func(*App, http.ResponseWriter, *http.Request, flows.UserKey) error{
	"":         {http.MethodGet: (*App).adminExport, http.MethodDelete: (*App).adminErase},
	"sessions": {http.MethodDelete: (*App).adminEndUser},
	"factors":  {http.MethodGet: (*App).adminFactors, http.MethodDelete: (*App).adminResetFactors},
	"devices":  {http.MethodGet: (*App).adminDevices, http.MethodDelete: (*App).adminForgetDevices},
	"disabled": {http.MethodPost: (*App).adminDisable, http.MethodDelete: (*App).adminEnable},
}

// adminUser serves what there is of one person.
func (a *App) adminUser(w http.ResponseWriter, r *http.Request) error {
	text, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/identity/users/"), "/")
	calls := adminUserCalls[what]
	if id, ok := strings.CutPrefix(what, "devices/"); ok && id != "" && !strings.Contains(id, "/") {
		calls = map[string]func(*App, http.ResponseWriter, *http.Request, flows.UserKey) error{
			http.MethodDelete: func(a *App, w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
				return a.adminForgetDevice(w, r, user, id)
			},
		}
	}
	if calls == nil || text == "" {
		return adminNotFound(errors.New("the path is /identity/users/<key, base64url>, perhaps with /sessions, /factors, /devices, /devices/<id> or /disabled"))
	}
	methods := orderOf([]string{http.MethodGet, http.MethodPost}, calls)
	if err := adminMethod(w, r, "/identity/users/<key>/"+what, methods...); err != nil {
		return err
	}
	user, err := userKeyOf(text)
	if err != nil {
		return err
	}
	if user == "" {
		return badRequest(errors.New("no user is named"))
	}
	return calls[r.Method](a, w, r, user)
}

func adminNotFound(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
}

// adminExport answers all that is kept of a person: what they get themselves on the
// account page. What their provider said of them is sealed by the tickets of their
// sessions (I14), so it is not there.
func (a *App) adminExport(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	u, _, err := a.contact(r.Context(), user)
	if err != nil {
		return adminUnavailable(err)
	}
	me, err := a.export(r.Context(), u)
	switch {
	case err != nil:
		return adminUnavailable(err)
	case me.unknown():
		return adminNotFound(fmt.Errorf("nothing is kept of %s", user))
	}
	return adminJSON(w, me)
}

// unknown reports that nothing at all is kept.
func (p *person) unknown() bool {
	return p.Name == "" && p.Email == "" && p.Disabled == nil && len(p.Factors)+len(p.Devices)+len(p.Sessions)+len(p.Vouched)+len(p.Kept) == 0
}

// adminErase forgets a person, as they can do themselves on the account page. The trail
// comes first, since who lost their factors sets up new ones (I25), and the person is told.
// Who is disabled stays so, and whose a name is stays, too (I06).
func (a *App) adminErase(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	ctx := r.Context()
	if err := adminConfirmed(r, "erase"); err != nil {
		return err
	}
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	to, language, err := a.contact(ctx, user)
	if err != nil {
		return adminUnavailable(err)
	}
	me, err := a.export(ctx, to)
	switch {
	case err != nil:
		return adminUnavailable(err)
	case me.unknown():
		return adminNotFound(fmt.Errorf("nothing is kept of %s", user))
	}
	e := audit.Event{ID: newID(), Time: Now(), Kind: audit.AccountErased, User: user, Name: to.Name, IP: r.RemoteAddr}
	if _, err := a.trail.Before(ctx, e); err != nil {
		return adminUnavailable(err)
	}
	if err := a.erase(ctx, user); err != nil {
		return adminUnavailable(err)
	}
	if to.Email != "" {
		a.tell(ctx, to, language, "erased", nil)
	}
	return adminJSON(w, map[string]any{"erased": true, "ended": len(me.Sessions)})
}
