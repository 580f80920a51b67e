package module

import (
	"errors"
	"net/http"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// adminProvider is what the admin API tells of a provider.
type adminProvider struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
	// Checked is when this node's newest health check ended, Since when one last changed
	// the verdict. Only providers that a login has a fallback for are checked.
	Checked time.Time `json:"checked,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	// Drills are outages that were made up for test users.
	Drills []shownDrill `json:"drills,omitempty"`
}

func (a *App) adminProviders(w http.ResponseWriter, r *http.Request) error {
	if err := a.adminAudit(r, audit.Event{}); err != nil {
		return err
	}
	drills, err := a.drills(r.Context())
	if err != nil {
		return adminUnavailable(err)
	}
	byProvider := map[string][]shownDrill{}
	for _, id := range orderOf(nil, drills) {
		byProvider[drills[id].Provider] = append(byProvider[drills[id].Provider], shown(drills[id]))
	}
	out := make([]adminProvider, 0, len(a.providers))
	for _, p := range a.providers {
		one := adminProvider{Name: p.Name, Type: p.Type, Healthy: true, Drills: byProvider[p.Name]}
		if _, err := a.healthOf(p); err != nil {
			one.Healthy, one.Error = false, err.Error()
		}
		if c := a.checks[p.Name]; c != nil {
			_, since, checked, err := c.judged.state()
			one.Since, one.Checked = since.UTC(), checked.UTC()
			if err != nil { // also of a check that did not change the verdict
				one.Error = err.Error()
			}
		}
		out = append(out, one)
	}
	return adminJSON(w, map[string]any{"providers": out})
}

// healthOf is how a provider stands: by the checks of this node, or where there are
// none by what it says of itself; known is false when neither says anything.
func (a *App) healthOf(p *flows.Provider) (known bool, err error) {
	if c := a.checks[p.Name]; c != nil {
		down, _, _, err := c.judged.state()
		if !down {
			return true, nil
		}
		if err == nil { // a first check passed, more must
			err = errors.New("it answers again, but not for long enough yet")
		}
		return true, err
	}
	if h, ok := p.Guest.(flows.Health); ok {
		return true, h.Health()
	}
	return false, nil
}
