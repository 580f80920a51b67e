package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// person is all that is kept of somebody: the account page shows it, and hands it
// out as JSON.
type person struct {
	Key         flows.UserKey `json:"key"`
	Name        string        `json:"name"`
	DisplayName string        `json:"display_name,omitempty"`
	Email       string        `json:"email,omitempty"`
	// Attributes are those of this sign-in: they are kept as long as the session.
	Attributes map[string]any  `json:"attributes,omitempty"`
	Groups     []string        `json:"groups,omitempty"`
	Factors    []personFactor  `json:"factors"`
	Devices    []personDevice  `json:"devices"`
	Sessions   []personSession `json:"sessions"`
	// Vouched is what passkeys know of the person, as a provider last said.
	Vouched []personVouched `json:"vouched,omitempty"`
	// Kept is what steps keep: what was answered and agreed to, by what they call it.
	Kept map[string][]flows.Kept `json:"kept,omitempty"`
	// Disabled is there while an operator keeps the person out.
	Disabled *personDisabled `json:"disabled,omitempty"`
}

// personDisabled is since when and why somebody is kept out.
type personDisabled struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// personFactor is a factor without its secret.
type personFactor struct {
	ID      string    `json:"id"`
	Factor  string    `json:"factor"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
}

// personDevice is a browser that the person had trusted.
type personDevice struct {
	ID     string    `json:"id"`
	Factor string    `json:"factor"`
	Proved time.Time `json:"proved"`
	Used   time.Time `json:"used"`
	Until  time.Time `json:"until"`
	Agent  string    `json:"agent,omitempty"`
	IP     string    `json:"ip,omitempty"`
}

// personVouched is what is kept for logins by passkey, which say who it is and no more.
type personVouched struct {
	At         time.Time      `json:"at"`
	Provider   string         `json:"provider"`
	Name       string         `json:"name"`
	Email      string         `json:"email,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Groups     []string       `json:"groups,omitempty"`
}

// personSession is a session; the id is the public one (I13).
type personSession struct {
	ID       string    `json:"id"`
	Here     bool      `json:"here,omitempty"`
	Provider string    `json:"provider"`
	Started  time.Time `json:"started"`
	Seen     time.Time `json:"seen"`
	Expires  time.Time `json:"expires"`
	IP       string    `json:"ip,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	Origins  []string  `json:"origins"`
}

// maxListed bounds the sessions of one person that are told of.
const maxListed = 1000

// export gathers what is kept of a person.
func (a *App) export(ctx context.Context, u *flows.User) (*person, error) {
	me := &person{
		Key: u.Key, Name: u.Name, DisplayName: u.DisplayName, Email: u.Email, Attributes: u.Attributes, Groups: u.Groups,
		Factors: []personFactor{}, Devices: []personDevice{}, Sessions: []personSession{},
	}
	if err := a.exportProofs(ctx, u.Key, me); err != nil {
		return nil, err
	}
	switch d, err := a.sessions.Disabled(ctx, u.Key); {
	case err == nil:
		me.Disabled = &personDisabled{d.Since.UTC(), d.Reason}
	case !errors.Is(err, flows.ErrNotFound):
		return nil, err
	}
	own, err := a.recordsOf(ctx, u.Key)
	if err != nil {
		return nil, err
	}
	if me.Vouched, err = a.exportVouched(ctx, own); err != nil {
		return nil, err
	}
	cards, err := a.sessions.List(ctx, u.Key, "", maxListed)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		me.Sessions = append(me.Sessions, personSession{
			ID: c.ID, Provider: c.Provider, Started: c.Started.UTC(), Seen: c.Seen.UTC(), Expires: c.Expires.UTC(), IP: c.IP, Agent: c.Agent, Origins: c.Origins,
		})
	}
	slices.SortStableFunc(me.Sessions, func(x, y personSession) int { return y.Seen.Compare(x.Seen) })
	return me, a.exportKept(ctx, u.Key, me)
}

// exportProofs are the factors and trusted devices.
func (a *App) exportProofs(ctx context.Context, user flows.UserKey, me *person) error {
	factors, err := a.recordsOf(ctx, user)
	if err != nil {
		return err
	}
	slices.SortStableFunc(factors, func(x, y flows.Record) int { return x.Created.Compare(y.Created) })
	for _, r := range factors {
		me.Factors = append(me.Factors, personFactor{ID: r.ID, Factor: r.Factor, Name: r.Name, Created: r.Created.UTC(), Used: r.Used.UTC()})
	}
	devices, err := a.devicesOf(ctx, user)
	if err != nil {
		return err
	}
	for _, d := range devices {
		me.Devices = append(me.Devices, personDevice{ID: d.ID, Factor: d.Factor, Proved: d.Proved.UTC(), Used: d.Used.UTC(), Until: d.Until.UTC(), Agent: d.Agent, IP: d.IP})
	}
	return nil
}

// exportVouched is what the passkeys among these factors know.
func (a *App) exportVouched(ctx context.Context, own []flows.Record) (list []personVouched, err error) {
	for _, handle := range handlesOf(own) {
		u, at, err := holders{a}.Holder(ctx, handle)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, personVouched{At: at.UTC(), Provider: u.Provider, Name: u.Name, Email: u.Email, Attributes: u.Attributes, Groups: u.Groups})
	}
	return list, nil
}

// exportKept asks who keeps something of people.
func (a *App) exportKept(ctx context.Context, user flows.UserKey, me *person) error {
	for _, k := range a.keepers() {
		name := k.Keeps()
		list, err := k.Export(ctx, user)
		if err != nil {
			return fmt.Errorf("what is kept as %s: %w", name, err)
		}
		if len(list) == 0 {
			continue
		}
		if me.Kept == nil {
			me.Kept = map[string][]flows.Kept{}
		}
		me.Kept[name] = list
	}
	return nil
}

func (a *App) eraseKept(ctx context.Context, user flows.UserKey) error {
	for _, k := range a.keepers() {
		if err := k.Erase(ctx, user); err != nil {
			return fmt.Errorf("what is kept as %s: %w", k.Keeps(), err)
		}
	}
	return nil
}

// here marks the session of the request.
func (p *person) here(v *visit) {
	for i := range p.Sessions {
		p.Sessions[i].Here = p.Sessions[i].ID == v.session.ID()
	}
}

// erase forgets a person: what steps keep, their factors with the tries at them and
// their trusted devices, and ends all of their sessions. What stays is the trail, that
// somebody is disabled, and whose a name is: what applications hold under it is still theirs (I06).
func (a *App) erase(ctx context.Context, user flows.UserKey) error {
	if err := a.eraseKept(ctx, user); err != nil {
		return err
	}
	if err := a.forgetFactors(ctx, user); err != nil {
		return err
	}
	_, err := a.endUser(ctx, user)
	return err
}

// agentTitle is what a person recognises a browser by: Firefox, Linux.
func agentTitle(agent string) string {
	find := func(pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.Contains(agent, pairs[i]) {
				return pairs[i+1]
			}
		}
		return ""
	}
	// The order matters: most say that they are some of the others, too.
	what := find("Edg", "Edge", "OPR/", "Opera", "SamsungBrowser", "Samsung Internet", "Firefox", "Firefox", "FxiOS", "Firefox", "CriOS", "Chrome", "Chrome", "Chrome", "Safari", "Safari")
	where := find("iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Windows", "Windows", "CrOS", "ChromeOS", "Mac OS X", "macOS", "Linux", "Linux")
	switch {
	case what != "" && where != "":
		return what + ", " + where
	case what+where != "":
		return what + where
	}
	first, _, _ := strings.Cut(strings.TrimSpace(agent), " ")
	return cutText(plainName(first), maxFactorName)
}
