package module

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// A drill is an outage that an operator makes up, of one provider, for one test user,
// for a bounded time. A browser takes part by a link that this gateway made: it is
// good once, and the run that it begins must end as that user (I23).
type drill struct {
	flows.Drill
	Until time.Time `json:"until"`
	// Used says that a browser took part.
	Used bool `json:"used"`
	// Secret is the hash of what the link proves itself by.
	Secret []byte `json:"secret,omitempty"`
}

// How long a drill lasts, and how many there are at a time.
const (
	drillFor   = 10 * time.Minute
	drillMax   = time.Hour
	drillsMost = 100
)

// drillParam is the parameter of the link.
const drillParam = "drill"

var (
	errNoDrill    = errors.New("no drill has this link, or it was used, or its time is over")
	errManyDrills = fmt.Errorf("there are %d drills already", drillsMost)
)

// drillsKey is where all of them are kept: there are few.
const drillsKey = "drills"

func (a *App) drillVault() *vault.Vault {
	return a.vault("hall/drills")
}

// drills are those that are not over, by id.
func (a *App) drills(ctx context.Context) (map[string]*drill, error) {
	b, err := a.drillVault().Get(ctx, drillsKey)
	if errors.Is(err, flows.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readDrills(b, Now())
}

func readDrills(b []byte, now time.Time) (map[string]*drill, error) {
	all := map[string]*drill{}
	if b != nil {
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("reading drills: %w", err)
		}
	}
	maps.DeleteFunc(all, func(_ string, d *drill) bool { return !now.Before(d.Until) })
	return all, nil
}

// changeDrills changes what there is; fn is pure and may run again (I16).
func (a *App) changeDrills(ctx context.Context, fn func(all map[string]*drill) error) error {
	now := Now()
	return a.drillVault().Update(ctx, drillsKey, func(old []byte) (flows.Change, error) {
		all, err := readDrills(old, now)
		if err != nil {
			return flows.Keep(), err
		}
		if err := fn(all); err != nil {
			return flows.Keep(), err
		}
		b, err := json.Marshal(all)
		if err != nil {
			return flows.Keep(), err
		}
		return flows.Set(b, drillMax), nil
	})
}

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

func badRequest(err error) error {
	return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
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

// takeDrill takes part by a link, once, and writes so before.
func (v *visit) takeDrill(link string) (*flows.Drill, error) {
	id, secret, _ := strings.Cut(link, ".")
	sum := sha256.Sum256([]byte(secret))
	open := func(all map[string]*drill) error {
		if d := all[id]; d == nil || d.Used || subtle.ConstantTimeCompare(sum[:], d.Secret) != 1 {
			return errNoDrill
		}
		return nil
	}
	all, err := v.app.drills(v.r.Context())
	if err == nil {
		err = open(all)
	}
	if err != nil {
		return nil, err
	}
	e := v.event(audit.DrillBegun)
	e.Name, e.Provider, e.Drill = all[id].User, all[id].Provider, id
	if _, err := v.app.trail.Before(v.r.Context(), e); err != nil {
		return nil, err
	}
	err = v.app.changeDrills(v.r.Context(), func(all map[string]*drill) error {
		if err := open(all); err != nil {
			return err
		}
		all[id].Used = true
		return nil
	})
	return &all[id].Drill, err
}

// isDown is what steps hear: the checks' word, or that of the run's drill while it lasts.
func (v *visit) isDown(x *flows.Execution) func(*flows.Provider) bool {
	drilled := sync.OnceValue(func() bool {
		if x.Drill == nil {
			return false
		}
		all, err := v.app.drills(v.r.Context())
		return err == nil && all[x.Drill.ID] != nil
	})
	return func(p *flows.Provider) bool {
		c := v.app.checks[p.Name]
		return c != nil && (c.judged.isDown() || x.Drill != nil && p.Name == x.Drill.Provider && drilled())
	}
}
