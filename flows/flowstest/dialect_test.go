package flowstest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// dialectRecorder hears what the suite complains about.
type dialectRecorder struct {
	testing.TB
	mu    sync.Mutex
	heard []string
}

func (r *dialectRecorder) Helper() {}

func (r *dialectRecorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, fmt.Sprintf(format, args...))
}

// toy is a dialect made of functions.
type toy struct {
	owned, late []string
	headers     func(f *flows.Facts, w flows.HeaderWriter) error
}

func (d *toy) Owned() []string                                    { return d.owned }
func (d *toy) PerRequest() []string                               { return d.late }
func (d *toy) Headers(f *flows.Facts, w flows.HeaderWriter) error { return d.headers(f, w) }

var single = flows.HeaderOptions{Single: true}

func good() *toy {
	return &toy{
		owned: []string{"X-User", "X-Groups", "X-Time", "X-Fam-*"}, late: []string{"X-Time"},
		headers: func(f *flows.Facts, w flows.HeaderWriter) error {
			if err := w.Set("X-User", []string{f.User.Name}, single); err != nil {
				return err
			}
			if err := w.Set("X-Time", []string{f.Now.String()}, single); err != nil {
				return err
			}
			return w.Set("X-Groups", f.User.Groups, flows.HeaderOptions{})
		},
	}
}

// bareEncode joins as it is: what a careless writer would do.
func bareEncode(_ string, values []string, _ flows.HeaderOptions) (string, bool, error) {
	return strings.Join(values, ","), len(values) > 0, nil
}

func TestDialectSuiteAcceptsAGoodOne(t *testing.T) {
	t.Parallel()
	r := &dialectRecorder{}
	TestDialect(r, good())
	if len(r.heard) > 0 {
		t.Errorf("complaints about a good dialect: %q", r.heard)
	}
}

func TestDialectSuiteFailsBrokenOnes(t *testing.T) {
	t.Parallel()
	last := ""
	for _, tc := range []struct {
		name, want string
		breakIt    func(*toy)
		encode     []EncodeFunc
	}{
		{"owns nothing", "Owned is empty", func(d *toy) { d.owned = nil }, nil},
		{"owns no name", "neither a header name", func(d *toy) { d.owned = append(d.owned, "X User") }, nil},
		{"owns everything", "neither a header name", func(d *toy) { d.owned = append(d.owned, "*") }, nil},
		{"late but not owned", "which is not owned", func(d *toy) { d.late = append(d.late, "X-Late") }, nil},
		{"writes what it does not own", "could forge it", func(d *toy) { d.owned = []string{"X-User", "X-Time"} }, nil},
		{"writes another case", "could forge it", func(d *toy) {
			d.headers = func(_ *flows.Facts, w flows.HeaderWriter) error { return w.Set("x-user", []string{"a"}, single) }
		}, nil},
		{"time not declared", "changed with the request", func(d *toy) { d.late = nil }, nil},
		{"writes nothing", "no header at all", func(d *toy) {
			d.headers = func(*flows.Facts, flows.HeaderWriter) error { return nil }
		}, nil},
		{"swallows errors", "the writer refused", func(d *toy) {
			inner := d.headers
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error { _ = inner(f, w); return nil }
		}, nil},
		{"joins groups itself", "joined or encoded", func(d *toy) {
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error {
				return w.Set("X-Groups", []string{strings.Join(f.User.Groups, ","), "x"}, flows.HeaderOptions{})
			}
		}, nil},
		{"keeps the last person", "of another person", func(d *toy) {
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error {
				if last == "" {
					last = f.User.Name
				}
				return w.Set("X-User", []string{last}, single)
			}
		}, nil},
		{"makes up the missing", "is made up", func(d *toy) {
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error {
				return w.Set("X-User", []string{fmt.Sprint(f.User.Attributes["dn"])}, single)
			}
		}, nil},
		{"needs a session", "panicked", func(d *toy) {
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error {
				return w.Set("X-User", []string{f.Session.ID}, single)
			}
		}, nil},
		{"changes the user", "changed the facts", func(d *toy) {
			d.headers = func(f *flows.Facts, w flows.HeaderWriter) error {
				f.User.Groups[0] = "changed"
				return w.Set("X-User", []string{f.User.Name}, single)
			}
		}, nil},
		{"writes twice", "written twice", func(d *toy) {
			d.headers = func(_ *flows.Facts, w flows.HeaderWriter) error {
				_ = w.Set("X-User", []string{"a"}, single)
				return w.Set("X-User", []string{"b"}, single)
			}
		}, nil},
		{"impossible options", "control character", func(d *toy) {
			d.headers = func(_ *flows.Facts, w flows.HeaderWriter) error {
				return w.Set("X-User", []string{"a"}, flows.HeaderOptions{Missing: "\n"})
			}
		}, nil},
		{"is written as it is", "holds a control character", func(*toy) {}, []EncodeFunc{bareEncode}},
		{"a group reads as two", "values read as", func(*toy) {}, []EncodeFunc{bareEncode}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, r := good(), &dialectRecorder{}
			tc.breakIt(d)
			TestDialect(r, d, tc.encode...)
			if !strings.Contains(strings.Join(r.heard, "\n"), tc.want) {
				t.Errorf("want a complaint about %q, heard %q", tc.want, r.heard)
			}
		})
	}
}
