//go:build real

package pages

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// fits answers what a page gets wrong for the person in front of it: it is wider
// than the window (WCAG 2.2 §1.4.10), something to press is too small (§2.5.8),
// or the focus does not show (§2.4.7).
const fits = `(() => {
  const wrong = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push("wider than the window: " + document.documentElement.scrollWidth + " > " + width);
  for (const e of document.querySelectorAll("a, button, select, input:not([type=hidden]), [tabindex]")) {
    const r = e.getBoundingClientRect();
    if (r.width < 24 || r.height < 24) wrong.push(e.outerHTML + " is " + r.width + "x" + r.height);
    e.focus({focusVisible: true});
    const s = getComputedStyle(e);
    if (document.activeElement !== e || s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) wrong.push(e.outerHTML + " shows no focus: " + s.outline);
  }
  const first = document.querySelector("[autofocus]");
  if (first) first.focus(); else document.activeElement.blur();
  return wrong.join("; ");
})()`

func TestEveryPageFitsEveryWindow(t *testing.T) {
	ctx := browser(t)
	s := load(t, Options{Title: "ACME Intranet", Languages: knownLanguages()})
	srv := gallerySite(t, s)
	windows := windowSizes()
	run(t, ctx, "the focus", emulation.SetFocusEmulationEnabled(true))
	inWindows := map[string][]string{"en": {"light", "phone"}, "de": {"dark", "zoom", "phone"}, "fr": {"forced", "phone"}, "es": {"phone"}}
	for name := range gallery() {
		for _, lang := range s.languages {
			address := srv + "/" + name + "?" + url.Values{"lang": {lang}}.Encode()
			run(t, ctx, name, chromedp.Navigate(address))
			for _, window := range inWindows[lang] {
				var wrong string
				run(t, ctx, name, windows[window], chromedp.Evaluate(fits, &wrong))
				if wrong != "" {
					t.Errorf("%s, %s, %s: %s", name, window, lang, wrong)
				}
				if window != "phone" || lang == "es" {
					screenshot(t, ctx, "page-"+name+"-"+window)
				}
			}
		}
	}
}

// screenshot writes NAME.png into the folder that SCREENSHOTS names, if it does.
func screenshot(t *testing.T, ctx context.Context, name string) { //nolint:revive // t first
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture []byte
	run(t, ctx, name, chromedp.FullScreenshot(&picture, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil { //nolint:gosec // pictures for everyone
		t.Fatal(err)
	}
}
