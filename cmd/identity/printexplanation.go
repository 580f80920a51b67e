package identity

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/module"
)

// sentences are the decisions in words.
var sentences = map[string]string{
	module.ExplainAllowed:   "allowed: the application is told who it is",
	module.ExplainOpen:      "open: it goes through, and the application is told of nobody",
	module.ExplainDenied:    "denied",
	module.ExplainLogin:     "login needed",
	module.ExplainFactor:    "a factor is asked for",
	module.ExplainAsked:     "the flow asks something",
	module.ExplainStepUp:    "step-up needed",
	module.ExplainUncovered: "not covered: no protect judges this address",
	module.ExplainOwn:       "an address of the gateway's own",
}

// PrintExplanation writes it for people.
func PrintExplanation(w io.Writer, x *module.Explanation) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, strings.Map(printable, fmt.Sprintf(format, args...)))
	}
	line("decision", "%s", sentences[x.Decision])
	if x.Reason != "" {
		line("reason", "%s%s", x.Reason, inTicks(x.Text))
	}
	if x.Rule != "" {
		line("rule", "%s", x.Rule)
	}
	if x.Error != "" {
		line("error", "%s", x.Error)
	}
	if x.Protect != "" {
		line("protect", "%s, flow %s", x.Protect, x.Flow)
	}
	if u := x.User; u != nil {
		line("user", "%s, groups %s (from: %s)", u.Key, cmp.Or(strings.Join(u.Groups, ","), "none"), u.From)
	}
	if len(x.Factors) > 0 {
		line("factors", "%s", strings.Join(x.Factors, ", "))
	}
	for _, l := range x.Lines {
		line("line", "%s %s%s: %s%s", l.Source, l.Do, inTicks(l.Condition), l.Says, because(l.Error))
	}
	printPath(line, x)
	if x.Risk != nil {
		line("risk", "%d, %s", x.Risk.Score, x.Risk.Level)
		for _, name := range slices.Sorted(maps.Keys(x.Risk.Readings)) {
			r := x.Risk.Readings[name]
			line("", "%s: %s%s", name, cmp.Or(map[bool]string{true: "unknown"}[r.Unknown], fmt.Sprint(r.Score)), because(string(r.Reason)))
		}
	}
	for _, h := range x.Headers {
		line("header", "%s: %s", h.Name, h.Value)
	}
	if len(x.Removed) > 0 {
		line("removed", "%s", strings.Join(x.Removed, ", "))
	}
	for _, n := range x.Notes {
		line("note", "%s", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printPath(line func(string, string, ...any), x *module.Explanation) {
	for _, s := range x.Path {
		more := ""
		switch {
		case s.Asks != "":
			more = ": " + s.Asks + inTicks(strings.Join(s.Choices, " "))
		case s.Block > 0:
			more = fmt.Sprintf(", block %d", s.Block)
		}
		line("step", "%s %s: %s%s%s", s.Source, s.Step, s.Says, more, because(cmp.Or(s.Error, string(s.Reason))))
		for _, c := range s.Conditions {
			line("", "%s: %s%s", c.Source, c.Says, because(c.Error))
		}
	}
}

func inTicks(s string) string {
	if s == "" {
		return ""
	}
	return " `" + s + "`"
}

func because(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
