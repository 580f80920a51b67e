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

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

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
