package audit

import (
	"maps"
	"slices"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Facts are what a decision was made from, as far as conditions of the configuration
// read it: so that it can be understood, and made again under another configuration.
// Ages are in seconds, at the time of the event.
type Facts struct {
	// Scheme of the address that was asked for; host and path are the event's.
	Scheme string `json:"scheme,omitempty"`
	// Read are the attributes that conditions read, User those of them that the person
	// had. An attribute that is longer than others is in neither.
	Read []string       `json:"read,omitempty"`
	User map[string]any `json:"user,omitempty"`
	// Evidence is what the person had proved.
	Evidence []Proved `json:"evidence,omitempty"`
	// SessionAge is how old the session was, Flows are those that it had finished, and
	// Proved is how long ago they were proved all through. Missing: there was none yet.
	SessionAge int64            `json:"session_age,omitempty"`
	Flows      []string         `json:"flows,omitempty"`
	Proved     map[string]int64 `json:"proved,omitempty"`
	// KnownDevice and TrustedDevice are what was known of the browser.
	KnownDevice   bool `json:"known_device,omitempty"`
	TrustedDevice bool `json:"trusted_device,omitempty"`
	// Readings are what the signals said, by name.
	Readings map[string]flows.Reading `json:"readings,omitempty"`
}

// Proved is one thing that a person had proved.
type Proved struct {
	Provider string             `json:"provider,omitempty"`
	Method   string             `json:"method,omitempty"`
	AMR      []string           `json:"amr,omitempty"`
	ACR      string             `json:"acr,omitempty"`
	Age      int64              `json:"age,omitempty"`
	Kind     flows.EvidenceKind `json:"kind,omitempty"`
}

// facts masks the attributes: what is dropped was not read, either.
func (a *masking) facts(f *Facts) *Facts {
	if f == nil {
		return nil
	}
	out := *f
	out.User, out.Read = maps.Clone(f.User), slices.Clone(f.Read)
	for name, v := range f.User {
		c := OfAttributes
		if name == "email" {
			c = OfEmail
		}
		w := a.way(c)
		if w == Keep {
			continue
		}
		text, _ := v.(string)
		if short := a.text(c, text); c == OfEmail && w != Drop {
			out.User[name] = short
			continue
		}
		a.note(c)
		delete(out.User, name)
		out.Read = slices.DeleteFunc(out.Read, func(r string) bool { return r == name })
	}
	if a.way(OfAddress) != Keep && len(f.Readings) > 0 { // their texts name places
		out.Readings = map[string]flows.Reading{}
		for name, r := range f.Readings {
			r.Text = ""
			out.Readings[name] = r
		}
		a.note(OfAddress)
	}
	return &out
}
