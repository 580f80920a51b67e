package module

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// Replayed is a recorded decision, made again under this configuration.
type Replayed struct {
	ID   string        `json:"id"`
	Time time.Time     `json:"time"`
	Kind audit.Kind    `json:"kind"`
	User flows.UserKey `json:"user,omitempty"`
	URL  string        `json:"url,omitempty"`
	// Was and Is are the decisions, then and now: let_in, denied, or what the person
	// would be asked for.
	Was string `json:"was"`
	Is  string `json:"is,omitempty"`
	// WasRule and Rule are the file and line that decided.
	WasRule string `json:"was_rule,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Text    string `json:"text,omitempty"`
	// Missing is why it cannot be made again: nothing is guessed.
	Missing string `json:"missing,omitempty"`
}

// Differs reports whether the decision would be another one.
func (r *Replayed) Differs() bool { return r.Missing == "" && r.Was != r.Is }

// What a recorded decision was.
const (
	replayLetIn  = "let_in"
	replayDenied = "denied"
)

// Replayable reports whether an event is a decision that conditions made.
func Replayable(e audit.Event) bool {
	switch e.Kind {
	case audit.Login, audit.SessionChanged:
		return true
	case audit.Denied, audit.LoginDenied:
		return e.Reason == flows.ReasonNotAllowed || e.Reason == flows.ReasonConditionError
	}
	return false
}

// Replay makes a recorded decision again. It asks neither the store nor anybody else.
// deniedAfter says that the trail has a denial of what a login led to: without one the
// person was let in there. The app need only be provisioned.
func (a *App) Replay(ctx context.Context, e audit.Event, deniedAfter bool) (Replayed, error) {
	r := Replayed{ID: e.ID, Time: e.Time, Kind: e.Kind, User: e.User, WasRule: e.Rule, Was: replayLetIn}
	if e.Kind == audit.Denied || e.Kind == audit.LoginDenied {
		r.Was = replayDenied
	}
	switch {
	case slices.Contains(e.Masked, audit.OfPath):
		r.Missing = "path masked"
	case e.Facts == nil:
		r.Missing = "the trail has no facts of it"
	}
	if r.Missing != "" {
		return r, nil
	}
	r.URL = (&url.URL{Scheme: e.Facts.Scheme, Host: e.Host, Path: e.Path}).String()
	c := caseOf(e, r.URL)
	out, err := a.Explain(ctx, c)
	if err != nil {
		r.Missing = err.Error()
		return r, nil
	}
	if r.Missing = a.unrecorded(e, out); r.Missing != "" {
		return r, nil
	}
	r.decide(e, out, deniedAfter)
	return r, nil
}

// caseOf is the request of an event, and what was known of who made it.
func caseOf(e audit.Event, address string) ExplainCase {
	f := e.Facts
	realm, subject, _ := strings.Cut(string(e.User), ":")
	who := map[string]any{"key": string(e.User), "realm": realm, "subject": subject, "name": e.Name, "provider": e.Provider}
	for name, v := range f.User {
		who[name] = v
	}
	c := ExplainCase{
		URL: address, Address: e.IP, Time: e.Time, User: &ExplainUser{Attributes: who}, Readings: f.Readings, Offline: true,
		Device: ExplainDevice{Known: f.KnownDevice, Trusted: f.TrustedDevice},
	}
	if slices.Contains(e.Masked, audit.OfAddress) {
		c.Address = ""
	}
	if e.Kind == audit.Denied { // else the method is that of a step's form
		c.Method = e.Method
	}
	c.Evidence = []ExplainEvidence{}
	for _, p := range f.Evidence {
		c.Evidence = append(c.Evidence, ExplainEvidence{
			Provider: p.Provider, Method: p.Method, AMR: p.AMR, ACR: p.ACR, Age: flows.Duration(time.Duration(p.Age) * time.Second), Kind: p.Kind,
		})
	}
	if e.Kind != audit.Denied {
		return c // the flow is run
	}
	c.SessionAge = flows.Duration(time.Duration(f.SessionAge) * time.Second)
	c.Flows = append([]string{}, f.Flows...)
	for name, age := range f.Proved {
		if c.Proved == nil {
			c.Proved = map[string]flows.Duration{}
		}
		c.Proved[name] = flows.Duration(time.Duration(age) * time.Second)
	}
	return c
}

// decide compares.
func (r *Replayed) decide(e audit.Event, out *Explanation, deniedAfter bool) {
	r.Rule, r.Text = out.Rule, out.Text
	stopped := false
	for _, s := range out.Path {
		if s.Says == "waits" || s.Says == "denied" || s.Says == "failed" {
			stopped = true
			if r.Rule == "" {
				r.Rule = s.Source
			}
		}
	}
	switch {
	case out.Decision == ExplainAllowed || out.Decision == ExplainOpen:
		r.Is = replayLetIn
	case out.Decision == ExplainDenied && e.Kind != audit.Denied && !stopped && (deniedAfter || e.Kind == audit.LoginDenied):
		r.Is = replayLetIn // the flow lets in; what the rules behind it say is an event of its own
	case out.Decision == ExplainDenied:
		r.Is = replayDenied
	case !stopped && out.Decision == ExplainStepUp:
		r.Is = replayLetIn
	default:
		r.Is = out.Decision
	}
}

var (
	anyName  = regexp.MustCompile(`\b(user|request|geo|policy)\.([A-Za-z_][A-Za-z0-9_]*)`)
	inMasked = map[string]audit.Class{
		"user.key": audit.OfUser, "user.subject": audit.OfUser, "user.name": audit.OfName, "request.ip": audit.OfAddress,
		"geo.country": audit.OfAddress, "geo.city": audit.OfAddress, "geo.asn": audit.OfAddress,
	}
	unkept = []string{"request.query", "request.header", "request.form", "request.json", "user.claims"}
)

// unrecorded names something that conditions of this decision read and that the trail
// does not have; empty: there is nothing.
func (a *App) unrecorded(e audit.Event, out *Explanation) string {
	for _, s := range out.Path {
		if s.Says == "failed" && s.Step == "lookup" {
			return "flow " + out.Flow + " asks a directory"
		}
	}
	for _, name := range a.readBy(e, out) {
		class, masked := inMasked[name]
		attribute, ofUser := strings.CutPrefix(name, "user.")
		switch {
		case masked && slices.Contains(e.Masked, class):
			return string(class) + " masked"
		case slices.Contains(unkept, name):
			return name + " is not kept"
		case !ofUser || slices.Contains(inEvent, attribute) || slices.Contains(e.Facts.Read, attribute):
			if attribute == "email" && slices.Contains(e.Masked, audit.OfEmail) {
				return string(audit.OfEmail) + " masked"
			}
		case attribute == "email" && slices.Contains(e.Masked, audit.OfEmail):
			return string(audit.OfEmail) + " masked"
		case slices.Contains(e.Masked, audit.OfAttributes):
			return string(audit.OfAttributes) + " masked"
		default:
			return fmt.Sprintf("%s was not kept: no condition read it then", name)
		}
	}
	return ""
}

// readBy are the names in the conditions that had a say: of the lines that match, and of
// the flow if it is run.
func (a *App) readBy(e audit.Event, out *Explanation) []string {
	var texts []string
	for _, l := range out.Lines {
		if l.Says != "no match" && l.Says != "not asked" {
			texts = append(texts, l.Condition, "policy."+l.Condition)
		}
	}
	if e.Kind != audit.Denied {
		a.reached(out.Flow, func(name string) { texts = append(texts, conditionsIn(a.raw[name])...) })
	}
	var names []string
	for i := 0; i < len(texts) && i < 1000; i++ {
		if p, ok := a.Policies[strings.TrimPrefix(texts[i], "policy.")]; ok {
			texts = append(texts, p.CEL)
		}
		for _, m := range anyName.FindAllStringSubmatch(texts[i], -1) {
			switch {
			case slices.Contains(names, m[0]):
			case m[1] == "policy":
				names, texts = append(names, m[0]), append(texts, m[0])
			default:
				names = append(names, m[0])
			}
		}
	}
	return names
}
