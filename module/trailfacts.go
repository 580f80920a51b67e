package module

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// The longest text and list of an attribute that the trail keeps.
const (
	maxFactText = 500
	maxFactList = 100
)

// inEvent are attributes that an event has anyway, or that no trail keeps: claims are raw.
var inEvent = []string{"key", "realm", "provider", "subject", "name", "claims"}

var userName = regexp.MustCompile(`\buser\.([A-Za-z_][A-Za-z0-9_]*)`)

// inConditions are the attributes that conditions of the configuration name.
func (a *App) inConditions() []string {
	found := map[string]bool{}
	for _, text := range a.conditionTexts() {
		for _, m := range userName.FindAllStringSubmatch(text, -1) {
			found[m[1]] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(found)), func(n string) bool { return slices.Contains(inEvent, n) })
}

// conditionTexts are all conditions as written: of policies, flows and rules.
func (a *App) conditionTexts() (texts []string) {
	for _, p := range a.Policies {
		texts = append(texts, p.CEL)
	}
	for name := range a.Flows {
		texts = append(texts, conditionsIn(a.raw["flow:"+name])...)
	}
	a.ownedMu.Lock()
	defer a.ownedMu.Unlock()
	return append(texts, a.ruleTexts...)
}

// conditionsIn are the CEL texts of a flow's JSON, and policy.<name> for named ones.
func conditionsIn(raw string) (texts []string) {
	var v any
	if json.Unmarshal([]byte(raw), &v) != nil {
		return nil
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				switch s, _ := e.(string); {
				case s == "":
				case k == "cel":
					texts = append(texts, s)
				case k == "policy":
					texts = append(texts, "policy."+s)
				}
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	return texts
}

// factsOf are what a decision was made from, for the trail; nil: about nobody.
func (a *App) factsOf(f *flows.Facts) *audit.Facts {
	if f == nil || f.User == nil {
		return nil
	}
	out := &audit.Facts{KnownDevice: f.Device.Known, TrustedDevice: f.TrustsDevice(), Readings: f.Readings}
	if f.Request != nil {
		out.Scheme = f.Request.Scheme
	}
	for _, name := range a.mentioned() {
		v, has := f.User.Attribute(name)
		if has && !fits(v) {
			continue
		}
		out.Read = append(out.Read, name)
		if has {
			if out.User == nil {
				out.User = map[string]any{}
			}
			out.User[name] = v
		}
	}
	for _, e := range f.Evidence {
		out.Evidence = append(out.Evidence, audit.Proved{
			Provider: e.Provider, Method: e.Method, AMR: e.AMR, ACR: e.ACR, Age: int64(f.Now.Sub(e.At).Seconds()), Kind: e.Kind,
		})
	}
	if s := f.Session; s != nil {
		out.SessionAge, out.Flows = int64(f.Now.Sub(s.Started).Seconds()), slices.Sorted(maps.Keys(s.Flows))
		for name, at := range s.Proved {
			if out.Proved == nil {
				out.Proved = map[string]int64{}
			}
			out.Proved[name] = int64(f.Now.Sub(at).Seconds())
		}
	}
	return out
}

// fits reports whether a value is short enough to be kept.
func fits(v any) bool {
	texts, _ := flows.Strings(v)
	return len(texts) <= maxFactList && !slices.ContainsFunc(texts, func(s string) bool { return len(s) > maxFactText })
}
