package module

import (
	"fmt"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// kindsOf are the maps of the configuration that have something by name, and the word
// that the Caddyfile has for one of them.
var kindsOf = []struct{ name, word string }{
	{"providers", "provider"},
	{"directories", "directory"},
	{"factors", "factor"},
	{"messengers", "messenger"},
	{"signals", "signal"},
	{"policies", "policy"},
	{"dialects", "dialect"},
	{"flows", "flow"},
}

// unused finds what has a name that nothing says.
func (l *lint) unused() {
	used := l.used()
	for _, kind := range kindsOf {
		all, _ := l.raw.identity[kind.name].(map[string]any)
		for _, name := range orderOf(nil, all) {
			if used[kind.word+":"+name] || kind.word == "flow" && name == ImplicitFlow {
				continue
			}
			source := ""
			if o, ok := all[name].(map[string]any); ok {
				source, _ = o["source"].(string)
			}
			l.add(Finding{
				Code: "unused", Severity: LintWarning, Source: source, Place: []string{kind.word, name}, What: fmt.Sprintf("%s %s is never used", kind.word, name),
				Why: unusedWhy[kind.word], How: "Name it where it is meant, or take it away.",
			})
		}
	}
}

// unusedWhy says what it means that something is not used.
var unusedWhy = map[string]string{
	"provider":  "No flow that runs asks it, so nobody signs in by it.",
	"directory": "Nothing is looked up in it.",
	"factor":    "No flow asks for it; people can only set it up on their account page.",
	"messenger": "Nothing is sent by it.",
	"signal":    "No risk step reads it.",
	"policy":    "No line asks it, so what it was written to forbid is not forbidden.",
	"dialect":   "No application gets its headers.",
	"flow":      "No protect, step_up, use or event has it run.",
}

// used are all names that something which runs says, as "kind:name".
func (l *lint) used() map[string]bool {
	used := map[string]bool{}
	for _, name := range l.running() {
		l.a.reached(name, func(what string) {
			used[what] = true
		})
	}
	for _, p := range l.raw.protects {
		for _, r := range p.Rules {
			used["policy:"+r.Policy] = true
		}
		for _, h := range p.Headers {
			used["dialect:"+h.Own] = true
		}
		if p.API != nil {
			for _, name := range p.API.Providers {
				used["provider:"+name] = true
			}
		}
	}
	all, _ := l.raw.identity["policies"].(map[string]any)
	for name := range all {
		if strings.Contains(l.raw.text, "policy."+name) || strings.Contains(l.raw.text, `policy[\"`+name+`\"]`) {
			used["policy:"+name] = true
		}
	}
	if l.a.notices.by != nil {
		used["messenger:"+l.a.notices.by.name] = true
	}
	eachObject(l.raw.identity["factors"], func(o map[string]any) {
		if m, ok := o["messenger"].(string); ok {
			used["messenger:"+m] = true
		}
	})
	for name, s := range l.a.signals { // conditions read places, and signals of travel
		if _, ok := s.(flows.Locator); ok {
			used["signal:"+name] = true
		}
	}
	l.asked(used)
	return used
}

// asked adds the providers that a person may ask for by ?provider=: a login that names
// none takes the hidden ones, too.
func (l *lint) asked(used map[string]bool) {
	unnamed := false
	eachObject(l.raw.identity["flows"], func(o map[string]any) {
		unnamed = unnamed || o["step"] == "login" && o["providers"] == nil
	})
	for _, p := range l.a.providers {
		if unnamed && p.Guest.Options().Hidden {
			used["provider:"+p.Name] = true
		}
	}
}

// running are the flows that something starts.
func (l *lint) running() []string {
	var names []string
	for _, name := range orderOf(nil, l.a.Flows) {
		if len(l.a.Flows[name].On) > 0 {
			names = append(names, name)
		}
	}
	l.a.eachProtect(func(_ string, p *Protect) {
		if p.Base || p.Off {
			return
		}
		names = append(names, p.Flow)
		for _, r := range p.Rules {
			switch {
			case r.Do == "step_up" && r.Flow != "":
				names = append(names, r.Flow)
			case r.Do == "step_up":
				names = append(names, anyFactor)
			}
		}
	})
	return names
}
