//go:build real

package pages

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestB7ATemplateRunsNothingInARealBrowser(t *testing.T) {
	ctx, s := browser(t), insolentPages(t)
	views := map[string]View{}
	for _, v := range samples() {
		v.Key = ""
		views[string(v.kind())] = v
	}
	for _, k := range []Kind{KindKeep, KindResume, KindLongAddress, KindPost} {
		views[string(k)] = View{Kind: k} // nowhere to go: the page stays
	}
	delete(views, string(KindPost)) // it sends itself
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Write(w, r, http.StatusOK, views[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	t.Cleanup(srv.Close)
	for name := range views {
		var title string
		run(t, ctx, name, chromedp.Navigate(srv.URL+"/"+name), chromedp.WaitReady("#js"),
			chromedp.Evaluate(`document.getElementById("js").click()`, nil),
			chromedp.ActionFunc(func(ctx context.Context) error { return chromedp.Title(&title).Do(ctx) }))
		if title == "ran" {
			t.Errorf("%s: a script of the template ran", name)
		}
	}
}
