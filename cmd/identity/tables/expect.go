package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module"
)

// expectation is what is compared; a field that is not written is not.
type expectation struct {
	Decision   *string `json:"decision"`
	Status     *int    `json:"status"`
	Reason     *string `json:"reason"`
	Text       *string `json:"text"`
	Rule       *string `json:"rule"`
	Flow       *string `json:"flow"`
	Page       *string `json:"page"`
	RemoteUser *string `json:"remote_user"`
	// Factors are those that would be asked, in any order.
	Factors *module.Words `json:"factors"`
	// Headers are those that the application gets, by name; null: it gets none of that name.
	Headers map[string]*module.Words `json:"headers"`
	// Removed are headers of the request that do not reach it; others may be removed, too.
	Removed module.Words `json:"removed"`
	Audit   *[]string    `json:"audit"`
	Risk    *struct {
		Score *int    `json:"score"`
		Level *string `json:"level"`
	} `json:"risk"`
}

// differ lists what is otherwise than expected.
func (x *expectation) differ(e *module.Explanation) []string {
	var out []string
	other := func(what string, got, want any) {
		out = append(out, fmt.Sprintf("%s is %v, want %v", what, shown(got), shown(want)))
	}
	for _, f := range []struct {
		what string
		want *string
		got  string
	}{
		{"decision", x.Decision, e.Decision},
		{"reason", x.Reason, string(e.Reason)},
		{"text", x.Text, e.Text},
		{"flow", x.Flow, e.Flow},
		{"page", x.Page, e.Page},
		{"remote_user", x.RemoteUser, e.RemoteUser},
	} {
		if f.want != nil && *f.want != f.got {
			other(f.what, f.got, *f.want)
		}
	}
	if x.Status != nil && *x.Status != e.Status {
		other("status", e.Status, *x.Status)
	}
	// A rule is named as the config is: by a path that is another one elsewhere.
	if x.Rule != nil && *x.Rule != e.Rule && !strings.HasSuffix(e.Rule, "/"+*x.Rule) {
		other("rule", e.Rule, *x.Rule)
	}
	if x.Factors != nil && !slices.Equal(slices.Sorted(slices.Values(*x.Factors)), slices.Sorted(slices.Values(e.Factors))) {
		other("factors", e.Factors, []string(*x.Factors))
	}
	for _, name := range x.Removed {
		if !slices.ContainsFunc(e.Removed, func(n string) bool { return strings.EqualFold(n, name) }) {
			other("removed", e.Removed, name)
		}
	}
	if x.Audit != nil && !slices.EqualFunc(*x.Audit, e.Audit, func(w string, k audit.Kind) bool { return w == string(k) }) {
		other("audit", e.Audit, *x.Audit)
	}
	return append(append(out, x.headers(e)...), x.risk(e)...)
}

func (x *expectation) headers(e *module.Explanation) (out []string) {
	got := map[string][]string{}
	for _, h := range e.Headers {
		name := strings.ToLower(h.Name)
		got[name] = append(got[name], h.Value)
	}
	for name, want := range x.Headers {
		switch have := got[strings.ToLower(name)]; {
		case want == nil && have != nil:
			out = append(out, fmt.Sprintf("header %s is %v, want none", name, shown(have)))
		case want != nil && !slices.Equal(have, *want):
			out = append(out, fmt.Sprintf("header %s is %v, want %v", name, shown(have), shown([]string(*want))))
		}
	}
	slices.Sort(out)
	return out
}

func (x *expectation) risk(e *module.Explanation) (out []string) {
	if x.Risk == nil {
		return nil
	}
	got := e.Risk
	if got == nil {
		return []string{"risk was not read"}
	}
	if x.Risk.Score != nil && *x.Risk.Score != got.Score {
		out = append(out, fmt.Sprintf("risk.score is %d, want %d", got.Score, *x.Risk.Score))
	}
	if x.Risk.Level != nil && *x.Risk.Level != got.Level {
		out = append(out, fmt.Sprintf("risk.level is %s, want %s", shown(got.Level), shown(*x.Risk.Level)))
	}
	return out
}

// shown is a value in a sentence: nothing is visible as such.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "none"
		}
		return "'" + v + "'"
	case []string:
		switch len(v) {
		case 0:
			return "none"
		case 1:
			return shown(v[0])
		}
	}
	return fmt.Sprint(v)
}
