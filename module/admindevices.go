package module

import (
	"errors"
	"net/http"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// adminDevices lists the browsers that a person had trusted.
func (a *App) adminDevices(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	if err := a.adminAudit(r, audit.Event{User: user}); err != nil {
		return err
	}
	me := &person{Devices: []personDevice{}}
	if err := a.exportProofs(r.Context(), user, me); err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"devices": me.Devices})
}

// adminForgetDevice ends the trust in one of them.
func (a *App) adminForgetDevice(w http.ResponseWriter, r *http.Request, user flows.UserKey, id string) error {
	a.adminTakes(r, audit.Event{User: user, Item: id})
	switch err := a.forgetDevice(r.Context(), user, id); {
	case errors.Is(err, flows.ErrNotFound):
		return adminNotFound(errors.New("no trusted browser of this user has this id"))
	case err != nil:
		return adminUnavailable(err)
	}
	a.noteForgotten(r, user)
	return adminJSON(w, map[string]any{"forgotten": 1})
}

// adminForgetDevices ends the trust in all of them.
func (a *App) adminForgetDevices(w http.ResponseWriter, r *http.Request, user flows.UserKey) error {
	a.adminTakes(r, audit.Event{User: user})
	list, err := a.devicesOf(r.Context(), user)
	if err == nil {
		err = a.deviceVault().Remove(r.Context(), string(user))
	}
	if err != nil {
		return adminUnavailable(err)
	}
	if len(list) > 0 {
		a.noteForgotten(r, user)
	}
	return adminJSON(w, map[string]any{"forgotten": len(list)})
}

func (a *App) noteForgotten(r *http.Request, user flows.UserKey) {
	a.trail.Note(audit.Event{ID: newID(), Time: Now(), Kind: audit.DeviceForgotten, User: user, IP: r.RemoteAddr})
}
