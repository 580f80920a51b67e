package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
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

// maxWhy bounds the reason that an operator gives.
const maxWhy = 200

// adminDisable keeps a person out, by whichever provider of their realm, and ends their
// sessions.
func (a *App) adminDisable(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	var in struct {
		Reason string `json:"reason"`
	}
	dec := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return badRequest(fmt.Errorf("the body is {\"reason\"}, or none: %w", err))
	}
	if in.Reason = strings.TrimSpace(in.Reason); utf8.RuneCountInString(in.Reason) > maxWhy {
		return badRequest(fmt.Errorf("reason has at most %d characters", maxWhy))
	}
	a.adminTakes(r, audit.Event{User: user, Text: in.Reason})
	d, err := a.sessions.Disable(r.Context(), user, in.Reason)
	if err != nil {
		return adminUnavailable(err)
	}
	a.trail.Note(audit.Event{ID: newID(), Time: Now(), Kind: audit.UserDisabled, User: user, Text: in.Reason, IP: r.RemoteAddr})
	ended, err := a.endUser(r.Context(), user)
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, struct {
		adminDisabled
		Ended int `json:"ended"`
	}{disabledOf(d), ended})
}

// adminEnable lets a person in again, behind the trail (I25). Sessions of before stay ended.
func (a *App) adminEnable(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	ctx := r.Context()
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	d, err := a.sessions.Disabled(ctx, user)
	switch {
	case errors.Is(err, flows.ErrNotFound):
		return adminNotFound(fmt.Errorf("%s is not disabled", user))
	case err != nil:
		return adminUnavailable(err)
	}
	if _, err := a.trail.Before(ctx, audit.Event{ID: newID(), Time: Now(), Kind: audit.UserEnabled, User: user, IP: r.RemoteAddr}); err != nil {
		return adminUnavailable(err)
	}
	if err := a.sessions.Enable(ctx, user); err != nil && !errors.Is(err, flows.ErrNotFound) {
		return adminUnavailable(err)
	}
	return adminJSON(w, struct {
		adminDisabled
		Enabled bool `json:"enabled"`
	}{disabledOf(d), true})
}

// adminDisabled is somebody who is kept out.
type adminDisabled struct {
	User   flows.UserKey `json:"user"`
	Since  time.Time     `json:"since"`
	Reason string        `json:"reason,omitempty"`
}

func disabledOf(d *flowsession.Disabled) adminDisabled {
	return adminDisabled{d.User, d.Since.UTC(), d.Reason}
}

// adminUsers lists who is disabled. Nobody else can be listed: the store knows people by
// keyed hashes, and who is signed in is in the list of sessions.
func (a *App) adminUsers(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("disabled") != "yes" {
		return badRequest(errors.New("there is no list of all people, since the store knows them by hashes of their keys; say ?disabled=yes for those who are kept out; who is signed in is in /identity/sessions"))
	}
	n, err := adminLimit(r)
	if err != nil {
		return err
	}
	if err := a.adminAudit(r, audit.Event{}); err != nil {
		return err
	}
	list, next, err := a.sessions.ListDisabled(r.Context(), q.Get("after"), n)
	if err != nil {
		return adminUnavailable(err)
	}
	out := struct {
		Users []adminDisabled `json:"users"`
		// After continues the list; missing when there is no more.
		After string `json:"after,omitempty"`
	}{make([]adminDisabled, 0, len(list)), next}
	for _, d := range list {
		out.Users = append(out.Users, disabledOf(d))
	}
	return adminJSON(w, out)
}
