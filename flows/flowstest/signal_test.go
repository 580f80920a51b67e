package flowstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// addresses is a signal that finds new addresses unusual; how it is broken is its name.
type addresses struct {
	flows.SignalOptions
	broken string

	mu    sync.Mutex
	reads int
	notes string
}

func (a *addresses) Read(_ context.Context, f *flows.Facts, learned json.RawMessage) (flows.Reading, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads++
	unknown := flows.Reading{Unknown: true, Reason: "address_unknown"}
	if f.Request == nil || f.User == nil {
		if a.broken == "trusts its facts" {
			return flows.Reading{Reason: flows.Reason(f.User.Name + f.Request.IP)}, nil
		}
		return unknown, nil
	}
	var known []string
	if err := json.Unmarshal(learned, &known); err != nil && len(learned) > 0 {
		if a.broken == "trusts its notes" {
			panic(err)
		}
		return unknown, nil
	}
	r := flows.Reading{Score: 80, Reason: "new_address", Text: f.Request.IP}
	switch a.broken {
	case "scores high":
		r.Score = 101
	case "scores low":
		r.Score = -1
	case "has no reason":
		r.Reason = ""
	case "speaks":
		r.Reason = "Never seen before"
	case "breaks lines":
		r.Text = "a\nb"
	case "weighs":
		r.Weight = 30
	case "guesses":
		r.Unknown = true
	case "counts":
		r.Score = min(a.reads, 100)
	case "fails":
		return flows.Reading{}, errors.New("down")
	case "renames":
		f.User.DisplayName = fmt.Sprint(a.reads)
	case "writes headers":
		f.Request.Header["X-Seen"] = []string{fmt.Sprint(a.reads)}
	case "writes its notes":
		if len(learned) > 0 {
			learned[0]++
		}
	case "notes":
		a.notes += f.Request.IP
	}
	if slices.Contains(known, f.Request.IP) {
		r.Score, r.Reason = 0, "known_address"
	}
	return r, nil
}

func (a *addresses) Learn(f *flows.Facts, learned json.RawMessage) (json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.Request == nil {
		if a.broken == "learns of nothing" {
			panic("no request")
		}
		return learned, nil
	}
	var known []string
	if json.Unmarshal(learned, &known) != nil {
		known = nil
	}
	if a.broken == "learns more each time" {
		a.reads++
		known = append(known, fmt.Sprint(a.reads))
	}
	if a.broken == "learns what it cannot read" {
		return json.RawMessage("x"), nil
	}
	known = append(known, f.Request.IP)
	if a.broken != "learns for ever" {
		known = known[max(len(known)-5, 0):]
	}
	if slices.ContainsFunc(known, func(ip string) bool { return len(ip) > 45 }) {
		return nil, nil
	}
	return json.Marshal(known)
}

func (a *addresses) Locate(ip string) (flows.Place, bool) {
	return flows.Place{Country: "FR"}, a.broken == "knows every place" || ip == "203.0.113.9"
}

func TestTheSignalSuiteFindsBrokenSignals(t *testing.T) {
	check := func(broken string) string {
		a := &addresses{broken: broken}
		if broken == "has bad options" {
			n := 101
			a.Unknown = &n
		}
		return fmt.Sprint(SignalCase{
			Guest: a,
			Facts: []*flows.Facts{{
				Now: Start, User: &flows.User{Key: "corp:maria", Name: "maria"},
				Request: &flows.Request{IP: "198.51.100.7", Header: map[string][]string{}},
			}},
			Kept: func() string { return a.notes },
		}.Problems(t.Context()))
	}
	if p := check(""); p != "[]" {
		t.Errorf("a sound signal: %s", p)
	}
	for broken, want := range map[string]string{
		"trusts its facts": "a user only: reading panics", "trusts its notes": "facts 0: reading panics", "scores high": "the score is 101", "scores low": "the score is -1",
		"has no reason": "has no reason", "speaks": "is no code", "breaks lines": "control characters", "weighs": "is for the risk step", "guesses": "does not know, and has a score",
		"counts": "of the same", "fails": "facts 0: down", "renames": "reading changed the facts", "writes headers": "reading changed the facts", "writes its notes": "reading changed what was learned",
		"notes": "changed what it keeps", "learns of nothing": "learning panics", "learns more each time": "it learns", "learns for ever": "bytes, at most 2048",
		"learns what it cannot read": "is no JSON", "knows every place": `it knows where "127.0.0.1" is`, "has bad options": "its options",
	} {
		if p := check(broken); !strings.Contains(p, want) {
			t.Errorf("%s: want a problem about %q, got %s", broken, want, p)
		}
	}
}
