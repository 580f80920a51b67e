package lookup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// book is a directory of one shelf.
type book struct {
	people map[string]flows.Attributes
	err    error
	asked  int
	by     string
}

func (b *book) Find(_ context.Context, by, value string) (flows.Attributes, error) {
	b.asked, b.by = b.asked+1, by
	a, ok := b.people[value]
	switch {
	case b.err != nil:
		return nil, b.err
	case !ok:
		return nil, flows.ErrNotFound
	}
	return a, nil
}

func parse(text string) (*Lookup, error) {
	l := new(Lookup)
	return l, l.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

// rig is one step, its directory and clock.
type rig struct {
	t   *testing.T
	l   *Lookup
	b   *book
	reg *flowstest.Registry
}

func start(t *testing.T, more string) *rig {
	t.Helper()
	b := &book{people: map[string]flows.Attributes{
		"anna@example.com": {"employeeNumber": "4711", "manager": "bert", "skills": []any{"go"}},
		"poor@example.com": {"manager": "bert"},
	}}
	reg := flowstest.NewRegistry()
	reg.Directories = map[string]flows.Directory{"hr": b}
	l, err := parse("lookup hr {\nby mail {user.email}\nattribute employee_id employeeNumber\nattribute boss manager\n" + more + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(reg); err != nil {
		t.Fatal(err)
	}
	return &rig{t, l, b, reg}
}

// enter runs the step for somebody with an address.
func (r *rig) enter(mail string, attributes map[string]any) (flowstest.Seen, *flows.User, error) {
	x := &flows.Execution{User: &flows.User{Key: "a:1", Name: "x", Email: mail, Attributes: attributes}}
	o, err := r.l.Enter(r.t.Context(), x)
	if err != nil {
		return flowstest.Seen{}, x.User, err
	}
	return flowstest.Look(o), x.User, nil
}

func TestLookupGives(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	seen, u, err := r.enter("anna@example.com", map[string]any{"boss": "carl"})
	if err != nil || seen.Kind != "continue" || u.Attributes["employee_id"] != "4711" || u.Attributes["boss"] != "carl" || r.b.by != "mail" {
		t.Errorf("%+v %+v %v", seen, u, err)
	}
	if len(u.Derived) != 1 || u.Derived[0].Name != "employee_id" || u.Derived[0].CEL != "" {
		t.Errorf("a renewal would take it away: %+v", u.Derived)
	}
	// What the provider says anew leaves it (O11).
	fresh := u.Renewed(&flows.User{Attributes: map[string]any{"employee_id": "0"}}, flows.Grant{Attributes: []string{"employee_id"}}, nil)
	if fresh.Attributes["employee_id"] != "4711" {
		t.Errorf("renewed to %v", fresh.Attributes)
	}
	if _, u, _ = start(t, "overwrite").enter("anna@example.com", map[string]any{"boss": "carl"}); u.Attributes["boss"] != "bert" {
		t.Errorf("overwrite leaves %v", u.Attributes)
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for _, mail := range []string{"nobody@example.com", "poor@example.com", ""} {
		seen, _, err := start(t, "").enter(mail, nil)
		if err != nil || seen.Denial.Reason != flows.ReasonNotInDirectory {
			t.Errorf("%q: %+v, %v", mail, seen, err)
		}
		seen, u, err := start(t, "missing continue").enter(mail, nil)
		if err != nil || seen.Kind != "continue" || u.Attributes["employee_id"] != nil {
			t.Errorf("%q, continue: %+v %v", mail, seen, err)
		}
		if mail == "poor@example.com" && u.Attributes["boss"] != "bert" {
			t.Errorf("what there is is not given: %v", u.Attributes)
		}
	}
	r := start(t, "missing continue\nunavailable continue")
	r.b.err = flows.ErrAmbiguous
	if seen, _, err := r.enter("anna@example.com", nil); err != nil || seen.Denial.Reason != flows.ReasonNotInDirectory {
		t.Errorf("several who could be meant: %+v, %v", seen, err)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{flows.ErrUnavailable, errors.New("half an answer")} {
		r := start(t, "missing continue")
		r.b.err = cause
		if _, _, err := r.enter("anna@example.com", nil); flows.ReasonOf(err) != flows.ReasonDirectoryDown {
			t.Errorf("%v: %v", cause, err)
		}
		r = start(t, "unavailable continue")
		r.b.err = cause
		if seen, _, err := r.enter("anna@example.com", nil); err != nil || seen.Kind != "continue" {
			t.Errorf("%v, continue: %+v %v", cause, seen, err)
		}
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	r := start(t, "cache 5m\nmissing continue")
	for _, mail := range []string{"anna@example.com", "nobody@example.com"} {
		before := r.b.asked
		for range 3 {
			if _, _, err := r.enter(mail, nil); err != nil {
				t.Fatal(err)
			}
		}
		if r.b.asked != before+1 {
			t.Errorf("%s was asked for %d times", mail, r.b.asked-before)
		}
	}
	r.reg.Forward(5 * time.Minute)
	before := r.b.asked
	r.b.err = flows.ErrUnavailable
	for range 2 { // what could not be asked is asked again
		_, _, _ = r.enter("anna@example.com", nil)
	}
	if r.b.asked != before+2 {
		t.Errorf("%d questions after the time was over", r.b.asked-before)
	}
	if r := start(t, ""); true {
		_, _, _ = r.enter("anna@example.com", nil)
		_, _, _ = r.enter("anna@example.com", nil)
		if r.b.asked != 2 {
			t.Errorf("without cache it was asked %d times", r.b.asked)
		}
	}
}

type condition struct{ names []string }

func (c condition) Reads() []string { return c.names }
func (condition) Source() string    { return "Caddyfile:9" }
func (condition) Enter(context.Context, *flows.Execution) (flows.Outcome, error) {
	return flows.Continue(), nil
}
func (c condition) Conditions() []flows.Named { return []flows.Named{c} }

type login struct{ flows.Step }

func (login) Produces() []string { return []string{"user"} }

// I22: what may be missing must be tested for; what surely is there need not.
func TestI22LookupMayLeaveOut(t *testing.T) {
	t.Parallel()
	reader := condition{[]string{"user.employee_id"}}
	for _, tc := range []struct {
		name, more, want string
		steps            func(l *Lookup) []flows.Step
	}{
		{"surely there", "", "", func(l *Lookup) []flows.Step { return []flows.Step{login{}, l, reader} }},
		{"perhaps missing", "missing continue", "has(user.employee_id)", func(l *Lookup) []flows.Step { return []flows.Step{login{}, l, reader} }},
		{"perhaps unavailable", "unavailable continue", "has(user.employee_id)", func(l *Lookup) []flows.Step { return []flows.Step{login{}, l, reader} }},
		{"read before", "", "has(user.employee_id)", func(l *Lookup) []flows.Step { return []flows.Step{login{}, reader, l} }},
		{"before the login", "", "before a login", func(l *Lookup) []flows.Step { return []flows.Step{l, login{}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := flows.Compile("f", "d", tc.steps(start(t, tc.more).l))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestUnknownDirectory(t *testing.T) {
	t.Parallel()
	l, err := parse("lookup crm {\nby mail {user.email}\nattribute a b\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(flowstest.NewRegistry()); err == nil || !strings.Contains(err.Error(), "'crm'") {
		t.Errorf("got %v", err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	const by = "by mail {user.email}\n"
	for _, tc := range []struct{ name, in, want string }{
		{"no directory", "lookup", "takes the name of a directory, but got 0"},
		{"two", "lookup a b", "but got 2"},
		{"no block", "lookup hr", "who is looked for?"},
		{"nothing given", "lookup hr {\n" + by + "}", "gives no attribute"},
		{"unknown word", "lookup hr {\nwhere x\n}", "no option 'where'; there are: attribute, by, cache, missing, overwrite, unavailable"},
		{"by alone", "lookup hr {\nby mail\n}", "by takes 2 arguments, but got 1"},
		{"by twice", "lookup hr {\n" + by + by + "}", "by is written twice"},
		{"by nobody", "lookup hr {\nby mail x\nattribute a b\n}", "everybody would be the same"},
		{"by another placeholder", "lookup hr {\nby mail {http.request.header.x}\nattribute a b\n}", "{user.<attribute>} and no others"},
		{"attribute reserved", "lookup hr {\n" + by + "attribute groups memberOf\n}", "user.groups is reserved"},
		{"attribute name", "lookup hr {\n" + by + "attribute 1a b\n}", "cannot name an attribute"},
		{"attribute twice", "lookup hr {\n" + by + "attribute a b\nattribute a c\n}", "gives user.a twice"},
		{"missing", "lookup hr {\n" + by + "attribute a b\nmissing maybe\n}", "missing is deny or continue, not 'maybe'"},
		{"unavailable", "lookup hr {\n" + by + "attribute a b\nunavailable x\n}", "unavailable is deny or continue, not 'x'"},
		{"cache", "lookup hr {\n" + by + "attribute a b\ncache soon\n}", "cache 'soon' is no duration"},
		{"overwrite", "lookup hr {\n" + by + "attribute a b\noverwrite on\n}", "overwrite takes 0 arguments"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Testfile:") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
