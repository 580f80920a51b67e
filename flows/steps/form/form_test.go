package form

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

const badge = "field department select Department {\noptions sales finance\n}\nfield badge text {\npattern [A-Z]{2}[0-9]{4}\n}\nfield phone tel {\noptional\n}"

func parse(t *testing.T, lines string) *Form {
	t.Helper()
	f := new(Form)
	if err := f.UnmarshalCaddyfile(caddyfile.NewTestDispenser("form {\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	return f
}

// rig is a form and what the trail was told.
type rig struct {
	t     *testing.T
	f     *Form
	reg   *flowstest.Registry
	deeds []flows.Deed
	down  error
}

func start(t *testing.T, lines string) *rig {
	t.Helper()
	r := &rig{t: t, f: parse(t, lines), reg: flowstest.NewRegistry()}
	if err := r.f.Bind(r.reg); err != nil {
		t.Fatal(err)
	}
	return r
}

// run is one of a person with these attributes.
func (r *rig) run(attributes map[string]any) *flows.Execution {
	x := &flows.Execution{User: &flows.User{Key: "corp:1", Name: "x", Attributes: attributes}}
	x.Env.Trail = func(_ context.Context, d flows.Deed) error {
		r.deeds = append(r.deeds, d)
		return r.down
	}
	return x
}

func (r *rig) enter(x *flows.Execution) flowstest.Seen {
	r.t.Helper()
	o, err := r.f.Enter(r.t.Context(), x)
	if err != nil {
		r.t.Fatal(err)
	}
	return flowstest.Look(o)
}

func (r *rig) resume(x *flows.Execution, pairs ...string) (flowstest.Seen, error) {
	in := flows.Input{Values: map[string][]string{}}
	for i := 0; i < len(pairs); i += 2 {
		in.Values[pairs[i]] = append(in.Values[pairs[i]], pairs[i+1])
	}
	o, err := r.f.Resume(r.t.Context(), x, in)
	return flowstest.Look(o), err
}

func asks(p flows.Page) (names []string) {
	wrong := func(problem string) {
		if problem != "" {
			names = append(names, problem)
		}
	}
	for _, w := range p.Widgets {
		switch w := w.(type) {
		case flows.Field:
			wrong(w.Problem)
			names = append(names, w.Name+"="+w.Value)
		case flows.Select:
			wrong(w.Problem)
			names = append(names, w.Name+"="+w.Value)
		case flows.Check:
			wrong(w.Problem)
			names = append(names, fmt.Sprint(w.Name, "=", w.Checked))
		case flows.Note:
			names = append(names, w.Code+w.Text)
		}
	}
	return names
}

func TestFormIsAStepAndAKeeper(t *testing.T) {
	t.Parallel()
	r := start(t, badge)
	flowstest.TestStep(t, r.f, func() *flows.Execution { return r.run(nil) })
	flowstest.TestStep(t, r.f, func() *flows.Execution {
		return r.run(map[string]any{"department": "sales", "badge": "AB1234", "phone": "1"})
	})
	flowstest.TestKeeper(t, r.f, "corp:1", func() {
		x := r.run(nil)
		r.enter(x)
		if _, err := r.resume(x, "department", "sales", "badge", "AB1234"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFormAsksForWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := start(t, badge)
	x := r.run(map[string]any{"department": "finance"})
	seen := r.enter(x)
	if got := strings.Join(asks(seen.Page), " "); got != "badge= phone=" {
		t.Fatalf("asks for %q", got)
	}
	// What is not asked for is not taken, whoever sends it.
	seen, err := r.resume(x, "badge", " AB1234 ", "department", "sales", "email", "boss@example.com", "groups", "admins")
	if err != nil || seen.Kind != "continue" {
		t.Fatal(seen, err)
	}
	u := x.User
	if u.Attributes["badge"] != "AB1234" || u.Attributes["department"] != "finance" || u.Email != "" || u.Groups != nil || u.Attributes["email"] != nil {
		t.Errorf("the user became %+v", u)
	}
	if _, has := u.Attribute("phone"); has {
		t.Error("an empty answer became an attribute")
	}
	if len(r.deeds) != 1 || r.deeds[0].Kind != flows.DeedAnswered || r.deeds[0].Item != "badge phone" {
		t.Errorf("the trail heard %+v", r.deeds)
	}
	// The next login asks for nothing: what may stay empty was offered.
	again := r.run(map[string]any{"department": "finance"})
	if seen := r.enter(again); seen.Kind != "continue" || again.User.Attributes["badge"] != "AB1234" {
		t.Errorf("asked again: %+v", seen)
	}
	// The provider no longer knows one, which then was never answered.
	if seen := r.enter(r.run(nil)); strings.Join(asks(seen.Page), " ") != "department=" {
		t.Errorf("asks for %v", asks(seen.Page))
	}
}

func TestFormJudgesAgainWhatItKept(t *testing.T) {
	t.Parallel()
	r := start(t, badge)
	x := r.run(nil)
	r.enter(x)
	if _, err := r.resume(x, "department", "sales", "badge", "AB1234"); err != nil {
		t.Fatal(err)
	}
	r.f = parse(t, "field department select {\noptions finance it\n}")
	if err := r.f.Bind(r.reg); err != nil {
		t.Fatal(err)
	}
	if seen := r.enter(r.run(nil)); seen.Kind != "ask" {
		t.Errorf("an answer that is no option any more was taken: %+v", seen)
	}
}

func TestFormOverwrite(t *testing.T) {
	t.Parallel()
	r := start(t, "field department text\noverwrite")
	x := r.run(map[string]any{"department": "old"})
	if seen := r.enter(x); strings.Join(asks(seen.Page), "") != "department=old" {
		t.Fatalf("asks %v", asks(seen.Page))
	}
	if _, err := r.resume(x, "department", "new"); err != nil || x.User.Attributes["department"] != "new" {
		t.Fatal(x.User, err)
	}
	x = r.run(map[string]any{"department": "old"})
	if seen := r.enter(x); seen.Kind != "continue" || x.User.Attributes["department"] != "new" {
		t.Errorf("%+v %v", seen, x.User)
	}
}

func TestFormJudgesOnTheServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field, typed, problem string
		want                  any
	}{
		{"text", "", "field_required", nil},
		{"text", "  ", "field_required", nil},
		{"text", "a\x00b", "field_text", nil},
		{"text", "a\nb", "field_text", nil},
		{"text", "\xff", "field_text", nil},
		{"text", strings.Repeat("ä", 200), "", strings.Repeat("ä", 200)},
		{"text", strings.Repeat("ä", 201), "field_long", nil},
		{"text {\nmax 3\n}", "abcd", "field_long", nil},
		{"text {\npattern a|bc\n}", "bcx", "field_pattern", nil},
		{"text {\npattern a|bc\n}", "bc", "", "bc"},
		{"email", "maria@example.com", "", "maria@example.com"},
		{"email", "Maria <maria@example.com>", "field_email", nil},
		{"email", "maria", "field_email", nil},
		{"tel", "+49 30 1234567", "", "+49 30 1234567"},
		{"tel", "call me", "field_tel", nil},
		{"url", "https://example.com/x", "", "https://example.com/x"},
		{"url", "javascript:alert(1)", "field_url", nil},
		{"url", "https://user:pw@example.com/", "field_url", nil},
		{"date", "2026-02-28", "", "2026-02-28"},
		{"date", "2026-02-30", "field_date", nil},
		{"number", "-12.5", "", -12.5},
		{"number", "0x10", "field_number", nil},
		{"number", "NaN", "field_number", nil},
		{"number", "1e400", "field_number", nil},
		{"select {\noptions a b\n}", "a", "", "a"},
		{"select {\noptions a b\n}", "c", "field_select", nil},
		{"check", "1", "", true},
		{"check", "on", "field_required", nil},
		{"check", "", "field_required", nil},
		{"check {\noptional\n}", "", "", false},
	} {
		r := start(t, "field x "+tc.field)
		x := r.run(nil)
		r.enter(x)
		seen, err := r.resume(x, "x", tc.typed)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := x.User.Attribute("x")
		if tc.problem == "" && (seen.Kind != "continue" || got != tc.want) {
			t.Errorf("%s %q: %+v, %v", tc.field, tc.typed, seen, got)
		}
		if tc.problem != "" && (seen.Kind != "ask" || seen.Page.Problem != flows.ReasonInvalidField || got != nil || asks(seen.Page)[0] != tc.problem || len(r.deeds) > 0) {
			t.Errorf("%s %q: %+v, %v", tc.field, tc.typed, seen, got)
		}
	}
	r := start(t, "field x text")
	x := r.run(nil)
	r.enter(x)
	if seen, _ := r.resume(x, "x", "a", "x", "b"); seen.Kind != "ask" {
		t.Errorf("a field that came twice was taken: %+v", seen)
	}
}

// I25: without an entry of the trail nothing is kept and nobody gets on.
func TestI25FormWithoutATrailKeepsNothing(t *testing.T) {
	t.Parallel()
	r := start(t, "field x text")
	r.down = errors.New("the disk is full")
	x := r.run(nil)
	r.enter(x)
	if seen, err := r.resume(x, "x", "a"); err == nil || seen.Kind != "" || r.reg.VaultOf("form").Writes() != 0 {
		t.Errorf("%+v, %v", seen, err)
	}
	if x.User.Attributes["x"] != nil {
		t.Error("the user has the answer")
	}
}

// I04: of who is somebody else tomorrow nothing is kept.
func TestI04FormKeepsNothingOfTransientPeople(t *testing.T) {
	t.Parallel()
	r := start(t, "field x text")
	x := r.run(nil)
	x.User.Transient = true
	r.enter(x)
	if seen, err := r.resume(x, "x", "a"); err != nil || seen.Kind != "continue" || x.User.Attributes["x"] != "a" || r.reg.VaultOf("form").Writes() != 0 {
		t.Errorf("%+v, %v", seen, err)
	}
}

func TestFormBoundsWhatItKeeps(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ fields, length int }{{3, 2000}, {32, 2}} {
		full := false
		reg := flowstest.NewRegistry()
		for i := range 20 {
			var lines, pairs []string
			for n := range size.fields {
				name := fmt.Sprintf("x%d_%d", i, n)
				lines, pairs = append(lines, fmt.Sprintf("field %s text {\nmax 2000\n}", name)), append(pairs, name, strings.Repeat("a", size.length))
			}
			r := &rig{t: t, f: parse(t, strings.Join(lines, "\n")), reg: reg}
			if err := r.f.Bind(reg); err != nil {
				t.Fatal(err)
			}
			x := r.run(nil)
			r.enter(x)
			if _, err := r.resume(x, pairs...); flows.ReasonOf(err) == flows.ReasonTooLarge && err != nil {
				full = true
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if b, _ := reg.VaultOf("form").Get(t.Context(), "corp:1"); !full || len(b) > maxSize {
			t.Errorf("%+v: %d bytes are kept", size, len(b))
		}
	}
}

func TestFormNeedsTheStore(t *testing.T) {
	t.Parallel()
	r := start(t, "field x text")
	r.reg.VaultOf("form").SetDown(true)
	if _, err := r.f.Enter(t.Context(), r.run(nil)); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	for i, typed := range []string{"", "a", "maria@example.com", "+49", "https://example.com", "2026-01-01", "1.5", "\xff\x00", strings.Repeat("9", 400)} {
		f.Add(uint8(i), typed)
	}
	f.Fuzz(func(t *testing.T, kind uint8, typed string) {
		d := &Field{Attribute: "x", Type: types[int(kind)%len(types)], Options: []string{"a", "b"}}
		v, problem := d.judge(d.tidy(typed))
		if (v == nil) == (problem == "") {
			t.Fatalf("%s %q: %v and %q", d.Type, typed, v, problem)
		}
		if text, ok := v.(string); ok && (len(text) > 4*defaultMax || strings.ContainsAny(text, "\r\n\x00")) {
			t.Fatalf("%q was taken", text)
		}
	})
}
