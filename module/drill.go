package module

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

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
