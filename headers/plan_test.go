package headers

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

func build(t *testing.T, f *flows.Facts, dialects ...flows.Dialect) []Field {
	t.Helper()
	p, err := NewPlan(dialects...)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := p.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	return pre.Fields()
}

func own(t *testing.T, name, template string) *OwnHeader {
	t.Helper()
	o, err := NewOwnHeader(name, template, flows.HeaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// toy is a dialect made of values; late ones carry the time.
type toy struct {
	owned, late []string
	set         [][2]string
}

func (d *toy) Owned() []string      { return d.owned }
func (d *toy) PerRequest() []string { return d.late }

func (d *toy) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	for _, s := range d.set {
		v := s[1]
		if slices.Contains(d.late, s[0]) {
			v = strconv.FormatInt(f.Now.Unix(), 10)
		}
		if err := w.Set(s[0], []string{v}, flows.HeaderOptions{Single: true}); err != nil {
			return err
		}
	}
	return nil
}

func TestInjectKeepsWireCase(t *testing.T) {
	t.Parallel()
	d := &toy{owned: []string{"SM_*", "x-odd~Name"}, set: [][2]string{{"SM_USER", "alice"}, {"x-odd~Name", "b"}}}
	p, err := NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := p.Build(facts())
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	pre.Inject(h)
	if len(h) != 2 || h["SM_USER"][0] != "alice" || h["x-odd~Name"][0] != "b" {
		t.Errorf("%v", h)
	}
}

// TestInjectSharesNothing: request_header with find and replace edits values
// in place behind us; that must not reach another request of the session.
func TestInjectSharesNothing(t *testing.T) {
	pre := Prebuilt{fields: []Field{{"A", "1"}, {"B", "2"}}}
	one, two := http.Header{}, http.Header{}
	pre.Inject(one)
	pre.Inject(two)
	one["A"][0] = "evil"
	one["A"] = append(one["A"], "more")
	if two["A"][0] != "1" || one["B"][0] != "2" || pre.Fields()[0].Value != "1" {
		t.Errorf("one request changed another: %v %v %v", one, two, pre)
	}
	if n := testing.AllocsPerRun(100, func() { pre.Inject(two) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestPlanPerRequest(t *testing.T) {
	t.Parallel()
	d := &toy{owned: []string{"T-User", "T-Time"}, late: []string{"T-Time"}, set: [][2]string{{"T-User", "alice"}, {"T-Time", ""}}}
	p, err := NewPlan(d, own(t, "X-Age", "{auth.age}"), own(t, "X-Dept", "{user.department}"))
	if err != nil || !p.PerRequest() {
		t.Fatalf("%v, %v", p, err)
	}
	f := facts()
	pre, err := p.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Field{{"T-User", "alice"}, {"X-Dept", "sales"}}; !slices.Equal(pre.Fields(), want) {
		t.Errorf("prebuilt %v, want %v", pre.Fields(), want)
	}
	for i := range 3 {
		f.Now = f.Now.Add(time.Minute)
		h := http.Header{}
		if err := p.Inject(h, pre, f); err != nil {
			t.Fatal(err)
		}
		age := strconv.Itoa(1800 + 60*(i+1))
		if len(h) != 4 || h["T-Time"][0] != strconv.FormatInt(f.Now.Unix(), 10) || h["X-Age"][0] != age || h["T-User"][0] != "alice" {
			t.Errorf("request %d: %v", i, h)
		}
	}
}

// TestOwnHeaderWins: an operator's line replaces a dialect's header in any
// spelling and any order, also by nothing.
func TestOwnHeaderWins(t *testing.T) {
	t.Parallel()
	d := &toy{owned: []string{"SM_*"}, late: []string{"SM_TIME"}, set: [][2]string{{"SM_USER", "alice"}, {"SM_TIME", ""}, {"SM_X", "x"}}}
	mine := own(t, "SM-USER", "{user.email}")
	for _, order := range [][]flows.Dialect{{d, mine}, {mine, d}} {
		got := build(t, facts(), order...)
		slices.SortFunc(got, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
		if want := []Field{{"SM-USER", "alice@example.com"}, {"SM_X", "x"}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := build(t, facts(), d, own(t, "SM_USER", "{user.nosuch}")); !slices.Equal(got, []Field{{"SM_X", "x"}}) {
		t.Errorf("replaced by nothing: %v", got)
	}
	p, err := NewPlan(d, own(t, "SM_TIME", "never"))
	if err != nil {
		t.Fatal(err)
	}
	pre, _ := p.Build(facts())
	h := http.Header{}
	if err := p.Inject(h, pre, facts()); err != nil || len(h) != 3 || h["SM_TIME"][0] != "never" {
		t.Errorf("%v, %v", h, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		dialects   []flows.Dialect
	}{
		{"two own headers", "written twice", []flows.Dialect{own(t, "X-A", "a"), own(t, "x_a", "b")}},
		{"two dialects", "cannot tell apart", []flows.Dialect{&toy{owned: []string{"X-A"}}, &toy{owned: []string{"X_A"}}}},
		{"late, not owned", "not among the owned", []flows.Dialect{&toy{owned: []string{"X-A"}, late: []string{"X-B"}}}},
		{"owns framing", "belongs to the connection", []flows.Dialect{&toy{owned: []string{"Host"}}}},
		{"owns too much", "at least two characters", []flows.Dialect{&toy{owned: []string{"*"}}}},
	} {
		if _, err := NewPlan(tc.dialects...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestDialectCannotWriteWhatIsNotStripped: or a client could send it as well.
func TestDialectCannotWriteWhatIsNotStripped(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X-B", "Host", "Connection", "X-A\r\nX-Evil", "", "X-A "} {
		p, err := NewPlan(&toy{owned: []string{"X-A"}, set: [][2]string{{name, "v"}}})
		if err != nil {
			t.Fatal(err)
		}
		if pre, err := p.Build(facts()); err == nil {
			t.Errorf("wrote %v", pre.Fields())
		}
	}
}

func TestPlanErrorInjectsNothing(t *testing.T) {
	t.Parallel()
	long := own(t, "X-Age", strings.Repeat("a", 5000)+"{auth.age}")
	p, err := NewPlan(own(t, "X-Name", "{user.name}"), long)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := p.Build(facts())
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	err = p.Inject(h, pre, facts())
	var r *flows.Refusal
	if !errors.As(err, &r) || r.Reason != flows.ReasonHeaderTooLong || len(h) != 0 {
		t.Errorf("%v, %v", err, h)
	}
}

func TestPlanConcurrently(t *testing.T) {
	t.Parallel()
	d := &toy{owned: []string{"T-User", "T-Time"}, late: []string{"T-Time"}, set: [][2]string{{"T-User", "alice"}, {"T-Time", ""}}}
	p, err := NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := p.Build(facts())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				h := http.Header{}
				if err := p.Inject(h, pre, facts()); err != nil || len(h) != 2 {
					t.Errorf("%v, %v", h, err)
				}
				h["T-User"][0] = "changed"
			}
		})
	}
	wg.Wait()
}
