// Package axe asks axe-core, in a real browser, whether everybody can use a page:
// by keyboard, with a screen reader, with weak eyes. All of its rules are asked:
// those of WCAG 2.2 A and AA, and what it calls best practice.
package axe

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// Source is the script of axe-core; without it the test is skipped, with CI=true it fails.
func Source(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(parts.Need(t, "axe-core"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Judgement is what axe-core says of a page.
type Judgement struct {
	// Wrong are the rules that the page breaks, Unsure those that it leaves to people.
	Wrong  []Finding `json:"wrong"`
	Unsure []Finding `json:"unsure"`
	// Kept are the rules that the page keeps.
	Kept []string `json:"kept"`
}

// Finding is one rule and where it is broken.
type Finding struct {
	Rule   string   `json:"rule"`
	Impact string   `json:"impact"`
	Where  []string `json:"where"`
}

// String is what is wrong, a line each; empty if nothing is.
func (j Judgement) String() string {
	var b strings.Builder
	for _, f := range j.Wrong {
		fmt.Fprintf(&b, "%s, %s\n\t%s\n", f.Impact, f.Rule, strings.Join(f.Where, "\n\t"))
	}
	return b.String()
}

// judge asks when nothing moves any more: what fades in has no colour yet.
const judge = `(document.getAnimations().forEach(a => a.finish()), axe).run(document, {preload: false}).then(r => {
  const list = of => of.map(v => ({rule: v.id + ": " + v.help, impact: v.impact, where: v.nodes.map(n => n.html + ": " + n.any.concat(n.all, n.none).map(c => c.message).join("; "))}));
  return {wrong: list(r.violations), unsure: list(r.incomplete), kept: r.passes.map(p => p.id)};
})`

// Ask asks about the page at hand. The script comes in by the debugger: the policy
// of our pages lets none in, and this is no reason to weaken it.
func Ask(source string, into *Judgement) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var there bool
		if err := chromedp.Evaluate(`typeof axe === "object"`, &there).Do(ctx); err != nil {
			return err
		}
		if !there {
			if err := chromedp.Evaluate(source+"; true", nil).Do(ctx); err != nil {
				return err
			}
		}
		var raw json.RawMessage
		wait := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
		if err := chromedp.Evaluate(judge, &raw, wait).Do(ctx); err != nil {
			return err
		}
		*into = Judgement{}
		if err := json.Unmarshal(raw, into); err != nil {
			return err
		}
		if !slices.Contains(into.Kept, "color-contrast") && len(into.Wrong) == 0 {
			return fmt.Errorf("axe-core found nothing to judge: %v", into.Kept)
		}
		return nil
	})
}
