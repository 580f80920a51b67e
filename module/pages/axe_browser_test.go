package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axeSource is axe-core, as .ci/parts.sh installs it.
func axeSource(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_PARTS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "sallyport-parts")
	}
	b, err := os.ReadFile(filepath.Join(dir, "npm/node_modules/axe-core/axe.min.js"))
	if err != nil {
		if os.Getenv("CI") == "true" && os.Getenv("SALLYPORT_BIN") != "" {
			t.Fatal(err)
		}
		t.Skipf("axe-core is missing: make parts: %v", err)
	}
	return string(b)
}

// judgement is what axe found. All of its rules run: those of WCAG 2.2 A and AA,
// and what it calls best practice.
type judgement struct {
	Wrong []finding `json:"wrong"`
	// Unsure is what axe leaves to people.
	Unsure []finding `json:"unsure"`
	// Kept are the rules that the page keeps.
	Kept []string `json:"kept"`
}

type finding struct {
	Rule   string   `json:"rule"`
	Impact string   `json:"impact"`
	Where  []string `json:"where"`
}

const judge = `(document.getAnimations().forEach(a => a.finish()), axe).run(document, {preload: false}).then(r => {
  const list = of => of.map(v => ({rule: v.id + ": " + v.help, impact: v.impact, where: v.nodes.map(n => n.html + ": " + n.any.concat(n.all, n.none).map(c => c.message).join("; "))}));
  return {wrong: list(r.violations), unsure: list(r.incomplete), kept: r.passes.map(p => p.id)};
})`

// axe asks axe-core about the page at hand. It comes in by the debugger: the
// policy of the page lets no script in, and this is no reason to weaken it.
func axe(t *testing.T, ctx context.Context, what, source string) judgement { //nolint:revive // t first
	t.Helper()
	var there bool
	run(t, ctx, what, chromedp.Evaluate(`typeof axe === "object"`, &there))
	if !there {
		run(t, ctx, what, chromedp.Evaluate(source+"; true", nil))
	}
	var raw json.RawMessage
	run(t, ctx, what, chromedp.Evaluate(judge, &raw, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	var j judgement
	if err := json.Unmarshal(raw, &j); err != nil {
		t.Fatal(err)
	}
	if len(j.Kept) < 8 || !slices.Contains(j.Kept, "color-contrast") {
		t.Fatalf("%s: axe kept to itself: %v", what, j.Kept)
	}
	return j
}

func (j judgement) String() string {
	var b strings.Builder
	for _, f := range j.Wrong {
		fmt.Fprintf(&b, "%s, %s\n\t%s\n", f.Impact, f.Rule, strings.Join(f.Where, "\n\t"))
	}
	return b.String()
}

func TestAccessibilityOfEveryPage(t *testing.T) {
	source := axeSource(t)
	ctx := browser(t)
	s := load(t, Options{Title: "ACME Intranet", Languages: knownLanguages()})
	site, windows := gallerySite(t, s), windowSizes()
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && strings.Contains(e.Entry.Text, "Content Security Policy") {
			t.Errorf("the browser refused: %s", e.Entry.Text)
		}
	})
	unsure := map[string]bool{}
	for name := range gallery() {
		run(t, ctx, name, chromedp.Navigate(site+"/"+name+"?lang=de"))
		for _, window := range []string{"light", "dark", "phone"} {
			run(t, ctx, name, windows[window])
			j := axe(t, ctx, name+", "+window, source)
			if len(j.Wrong) > 0 {
				t.Errorf("%s, %s: %s", name, window, j)
			}
			for _, f := range j.Unsure {
				unsure[name+", "+f.Rule+" "+f.Where[0]] = true
			}
		}
	}
	for what := range unsure {
		t.Logf("for people to judge: %s", what)
	}
}

// The judge can say no.
func TestAccessibilityIsJudged(t *testing.T) {
	source := axeSource(t)
	ctx := browser(t)
	site := gallerySite(t, load(t, Options{}))
	for damage, rule := range map[string]string{
		`document.querySelectorAll("label").forEach(l => l.remove())`: "label",
		`document.querySelector("h1").style.color = "#ccc"`:           "color-contrast",
		`document.documentElement.removeAttribute("lang")`:            "html-has-lang",
		`document.title = ""`: "document-title",
		`document.querySelector("#w2").setAttribute("aria-invalid", "x")`: "aria-valid-attr-value",
	} {
		run(t, ctx, damage, chromedp.Navigate(site+"/password"), chromedp.Evaluate(damage+"; true", nil))
		if j := axe(t, ctx, damage, source); !strings.Contains(j.String(), rule) {
			t.Errorf("%s: axe found %s", damage, j)
		}
	}
}
