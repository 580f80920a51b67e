package module

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// adminDrill makes a drill and answers its link.
func (a *App) adminDrill(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Provider string         `json:"provider"`
		User     string         `json:"user"`
		For      flows.Duration `json:"for"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return badRequest(fmt.Errorf("a drill is {\"provider\", \"user\", \"for\"}: %w", err))
	}
	last := time.Duration(in.For)
	if last == 0 {
		last = drillFor
	}
	switch {
	case a.checks[in.Provider] == nil:
		return badRequest(fmt.Errorf("no login has a fallback for a provider called '%s'; there are: %s", in.Provider, strings.Join(orderOf(nil, a.checks), ", ")))
	case in.User == "":
		return badRequest(errors.New("user is the name that the test user has at the fallback"))
	case last < 0 || last > drillMax:
		return badRequest(fmt.Errorf("for is at most %s, not %s", drillMax, last))
	}
	made, secret := drill{Until: Now().Add(last)}, newID()
	made.Drill = flows.Drill{ID: newID(), Provider: in.Provider, User: in.User}
	sum := sha256.Sum256([]byte(secret))
	made.Secret = sum[:]
	if err := a.adminAudit(r, audit.Event{Provider: in.Provider, Name: in.User, Drill: made.ID}); err != nil {
		return err
	}
	err := a.changeDrills(r.Context(), func(all map[string]*drill) error {
		if len(all) >= drillsMost {
			return errManyDrills
		}
		all[made.ID] = &made
		return nil
	})
	if errors.Is(err, errManyDrills) {
		return badRequest(err)
	}
	if err != nil {
		return adminUnavailable(err)
	}
	link := "/.identity/login?" + drillParam + "=" + made.ID + "." + secret
	if a.portal != nil {
		link = a.portal.origin + link
	}
	return adminJSON(w, struct {
		shownDrill
		// Link is opened once, in the test user's browser; without a portal at any host with protect.
		Link string `json:"link"`
	}{shown(&made), link})
}

// adminEndDrill ends a drill: its run hears that the provider is up.
func (a *App) adminEndDrill(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, "/identity/drills/")
	if err := a.adminAudit(r, audit.Event{Drill: id}); err != nil {
		a.log.Error(err.Error()) // what takes away goes on without the trail (I25)
	}
	err := a.changeDrills(r.Context(), func(all map[string]*drill) error {
		if all[id] == nil {
			return errNoDrill
		}
		delete(all, id)
		return nil
	})
	if errors.Is(err, errNoDrill) {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no drill has this id")}
	}
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"ended": 1})
}

// shownDrill is what the admin API tells of a drill.
type shownDrill struct {
	ID       string    `json:"id"`
	Provider string    `json:"provider"`
	User     string    `json:"user"`
	Until    time.Time `json:"until"`
	Used     bool      `json:"used"`
}

func shown(d *drill) shownDrill {
	return shownDrill{d.ID, d.Provider, d.User, d.Until.UTC(), d.Used}
}
