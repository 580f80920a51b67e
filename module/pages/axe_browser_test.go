//go:build real

package pages

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-gateway/sallyport/examples/axe"
)

func TestAccessibilityOfEveryPage(t *testing.T) {
	ctx := browser(t)
	source := axe.Source(t)
	site, windows := gallerySite(t, load(t, Options{Title: "ACME Intranet", Languages: knownLanguages()})), windowSizes()
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && strings.Contains(e.Entry.Text, "Content Security Policy") {
			t.Errorf("the browser refused: %s", e.Entry.Text)
		}
	})
	for name := range gallery() {
		run(t, ctx, name, chromedp.Navigate(site+"/"+name+"?lang=de"))
		unsure := map[string]string{}
		for _, window := range []string{"light", "dark", "phone"} {
			var j axe.Judgement
			run(t, ctx, name+", "+window, windows[window], axe.Ask(source, &j))
			if len(j.Wrong) > 0 {
				t.Errorf("%s, %s: %s", name, window, j)
			}
			for _, f := range j.Unsure {
				unsure[f.Rule] = f.Where[0]
			}
		}
		for rule, where := range unsure {
			t.Logf("%s: for people to judge: %s: %s", name, rule, where)
		}
	}
}

// The judge can say no.
func TestAccessibilityIsJudged(t *testing.T) {
	ctx := browser(t)
	source := axe.Source(t)
	site := gallerySite(t, load(t, Options{}))
	for damage, rule := range map[string]string{
		`document.querySelectorAll("label").forEach(l => l.remove())`: "label",
		`document.querySelector("h1").style.color = "#ccc"`:           "color-contrast",
		`document.documentElement.removeAttribute("lang")`:            "html-has-lang",
		`document.title = ""`: "document-title",
		`document.querySelector("#w2").setAttribute("aria-invalid", "x")`: "aria-valid-attr-value",
	} {
		var j axe.Judgement
		run(t, ctx, damage, chromedp.Navigate(site+"/password"), chromedp.Evaluate(damage+"; true", nil), axe.Ask(source, &j))
		if !strings.Contains(j.String(), rule) {
			t.Errorf("%s: axe found %s", damage, j)
		}
	}
}
