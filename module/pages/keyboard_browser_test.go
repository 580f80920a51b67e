//go:build real

package pages

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Keys alone fill in every kind of field, read terms to their end, and move in the
// order of the page.
func TestKeyboardReachesEveryWidget(t *testing.T) {
	ctx := browser(t)
	site := gallerySite(t, load(t, Options{}))
	keys := func(what, keys string) { run(t, ctx, what, chromedp.KeyEvent(keys)) }
	asks := func(what, js, want string) {
		t.Helper()
		var got string
		run(t, ctx, what, chromedp.Evaluate("String("+js+")", &got))
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	const focus = `document.activeElement.name || document.activeElement.className || document.activeElement.textContent`

	run(t, ctx, "the form", chromedp.Navigate(site+"/form"), chromedp.WaitReady("h1"))
	asks("the field at fault has the focus", focus, "tel")
	asks("the title", "document.title", "Error: A few details")
	keys("a telephone number", "4711"+kb.Tab)
	asks("the date", focus, "from")
	keys("through the parts of the date", "11"+"26"+"2026"+kb.Tab)
	for range 4 { // the button of its calendar
		var at string
		if run(t, ctx, "where", chromedp.Evaluate(focus, &at)); at != "from" {
			break
		}
		keys("on", kb.Tab)
	}
	asks("the number", focus, "desk")
	keys("up, and on", kb.ArrowUp+kb.ArrowUp+kb.Tab)
	asks("the list", focus, "place")
	keys("the second line", kb.ArrowDown+kb.ArrowDown+kb.Tab)
	asks("the other list", focus, "team")
	keys("on", kb.Tab)
	asks("the ticked box", focus, "news")
	keys("off", " "+kb.Tab)
	asks("the empty box", focus, "age")
	keys("ticked", " "+kb.Tab)
	asks("the button", focus, "Continue")
	asks("the answer", `[...new FormData(document.forms[0])].filter(([k]) => !["token", "step", "serial", "kept", "mail"].includes(k)).join(" ")`,
		"tel,4711 from,2026-11-26 desk,2 place,2 team, age,1")

	run(t, ctx, "the terms", chromedp.Navigate(site+"/terms"), chromedp.WaitReady("h1"))
	keys("into the terms", kb.Tab)
	asks("the terms", focus, "terms")
	keys("to their end", strings.Repeat(kb.ArrowDown, 3)+kb.End)
	run(t, ctx, "the end", chromedp.Poll(`(() => { const e = document.activeElement; return e.scrollTop > 0 && e.scrollTop + e.clientHeight >= e.scrollHeight - 1; })()`, nil))
	for _, want := range []string{"Read in full (opens a new window)", "agreed", "Continue", "decline", "later"} {
		keys("on", kb.Tab)
		asks("in order", focus, want)
	}
}
