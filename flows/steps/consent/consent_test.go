package consent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// rig is a consent and what the trail was told.
type rig struct {
	t     *testing.T
	c     *Consent
	reg   *flowstest.Registry
	deeds []flows.Deed
	down  error
}

func start(t *testing.T, line string) *rig {
	t.Helper()
	r := &rig{t: t, reg: flowstest.NewRegistry()}
	r.load(line)
	return r
}

// load replaces the step, as a new configuration does.
func (r *rig) load(line string) {
	r.t.Helper()
	r.c = new(Consent)
	if err := r.c.UnmarshalCaddyfile(caddyfile.NewTestDispenser("consent " + line)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.Provision(caddy.Context{}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.Bind(r.reg); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) run() *flows.Execution {
	x := &flows.Execution{User: &flows.User{Key: "corp:1", Name: "x"}}
	x.Env.Trail = func(_ context.Context, d flows.Deed) error {
		r.deeds = append(r.deeds, d)
		return r.down
	}
	return x
}

func (r *rig) enter(x *flows.Execution) flowstest.Seen {
	r.t.Helper()
	o, err := r.c.Enter(r.t.Context(), x)
	if err != nil {
		r.t.Fatal(err)
	}
	return flowstest.Look(o)
}

func (r *rig) answer(x *flows.Execution, answer ...string) (flowstest.Seen, error) {
	o, err := r.c.Resume(r.t.Context(), x, flows.Input{Values: map[string][]string{"answer": answer}})
	return flowstest.Look(o), err
}

func (r *rig) agree() {
	r.t.Helper()
	x := r.run()
	r.enter(x)
	if seen, err := r.answer(x, "agree"); err != nil || seen.Kind != "continue" {
		r.t.Fatal(seen, err)
	}
}

const kind = "terms 3 {\ntext \"Be kind.\"\n}"

func TestConsentIsAStepAndAKeeper(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	flowstest.TestStep(t, r.c, r.run)
	flowstest.TestKeeper(t, r.c, "corp:1", r.agree)
}

func TestConsentAsksForEachVersionOnce(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	seen := r.enter(r.run())
	if terms, ok := seen.Page.Widgets[0].(flows.Terms); seen.Kind != "ask" || !ok || terms.Text != "Be kind." || terms.Version != "3" || terms.Title != "terms" {
		t.Fatalf("%+v", seen)
	}
	r.agree()
	if len(r.deeds) != 1 || r.deeds[0].Kind != flows.DeedConsented || !strings.HasPrefix(r.deeds[0].Item, "terms 3 sha256:") {
		t.Errorf("the trail heard %+v", r.deeds)
	}
	if seen := r.enter(r.run()); seen.Kind != "continue" {
		t.Errorf("asked again: %+v", seen)
	}
	r.load("photos 1 {\ntext Smile.\n}")
	if seen := r.enter(r.run()); seen.Kind != "ask" {
		t.Errorf("another document is taken for the same: %+v", seen)
	}
	r.load("terms 4 {\ntext \"Be kind.\"\n}")
	if seen := r.enter(r.run()); seen.Kind != "ask" {
		t.Errorf("a new version does not ask: %+v", seen)
	}
	r.agree()
	if list, err := r.c.Export(t.Context(), "corp:1"); err != nil || len(list) != 1 || list[0].Version != "4" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestOnlyTheButtonIsAConsent(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	for _, answer := range [][]string{nil, {""}, {"1"}, {"agree", "agree"}, {"agree", "decline"}} {
		x := r.run()
		r.enter(x)
		if seen, err := r.answer(x, answer...); err != nil || seen.Kind != "ask" {
			t.Errorf("%v: %+v, %v", answer, seen, err)
		}
	}
	x := r.run()
	r.enter(x)
	if seen, err := r.answer(x, "decline"); err != nil || seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonConsentDeclined {
		t.Errorf("%+v, %v", seen, err)
	}
	if len(r.deeds) > 0 || r.reg.VaultOf("consent").Writes() > 0 {
		t.Errorf("something was kept: %+v", r.deeds)
	}
}

// The text under the same version changed while the page was open: what was agreed to
// is not what is there now.
func TestConsentIsToTheTextThatWasShown(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	x := r.run()
	r.enter(x)
	r.load("terms 3 {\ntext \"Be rich.\"\n}")
	if seen, err := r.answer(x, "agree"); err != nil || seen.Kind != "ask" || len(r.deeds) > 0 {
		t.Fatalf("%+v, %v", seen, err)
	}
	if seen, err := r.answer(x, "agree"); err != nil || seen.Kind != "continue" {
		t.Errorf("%+v, %v", seen, err)
	}
}

// I25: without an entry of the trail nobody has agreed.
func TestI25ConsentWithoutATrailIsNone(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	r.down = errors.New("the disk is full")
	x := r.run()
	r.enter(x)
	if seen, err := r.answer(x, "agree"); err == nil || seen.Kind != "" || r.reg.VaultOf("consent").Writes() != 0 {
		t.Errorf("%+v, %v", seen, err)
	}
}

// I04: of who is somebody else tomorrow nothing is kept, so they are asked each time.
func TestI04TransientPeopleAreAskedEachTime(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	for range 2 {
		x := r.run()
		x.User.Transient = true
		if seen := r.enter(x); seen.Kind != "ask" {
			t.Fatalf("%+v", seen)
		}
		if seen, err := r.answer(x, "agree"); err != nil || seen.Kind != "continue" || r.reg.VaultOf("consent").Writes() != 0 {
			t.Errorf("%+v, %v", seen, err)
		}
	}
	if len(r.deeds) != 2 {
		t.Errorf("the trail heard %+v", r.deeds)
	}
}

func TestConsentReadsAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct{ name, text, want string }{
		{"good", "One.\r\n\r\nTwo.\n", ""},
		{"empty", " \n", "the text is empty"},
		{"long", strings.Repeat("a", maxText+1), "longer than 64 KiB"},
		{"latin", "\xe4", "not UTF-8"},
		{"missing", "", "no such file"},
	} {
		path := filepath.Join(dir, tc.name)
		if tc.name != "missing" {
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := &Consent{Document: "terms", Version: "1", File: path}
		err := c.Provision(caddy.Context{})
		if tc.want == "" && (err != nil || c.text != "One.\n\nTwo.\n") || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %q, %v", tc.name, c.text, err)
		}
	}
}

func TestConsentNeedsTheStore(t *testing.T) {
	t.Parallel()
	r := start(t, kind)
	r.reg.VaultOf("consent").SetDown(true)
	if _, err := r.c.Enter(t.Context(), r.run()); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
