//go:build real

package pages

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// browser starts a Chromium, or skips where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		flowstest.Skip(t, "chromium is missing: apt-get install chromium")
	}
	// Not t.TempDir(), which fails the test when it cannot be removed at once: the
	// helper processes of Chromium go on writing for a moment after its end.
	profile, err := os.MkdirTemp("", "sallyport-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))...)
	window, cancel := chromedp.NewContext(allocator)
	ctx, end := context.WithTimeout(window, 5*time.Minute)
	t.Cleanup(func() {
		quit(window)
		end()
		cancel()
		stop()
		chromedp.FromContext(window).Allocator.Wait()
		if err := remove(profile); err != nil {
			t.Logf("the profile of chromium: %v", err)
		}
	})
	return ctx
}

// quit closes the browser and waits for its process, both within 10 s: what is
// only killed leaves children behind that still write into the profile.
func quit(window context.Context) {
	ctx, cancel := context.WithTimeout(window, 10*time.Second)
	defer cancel()
	_ = chromedp.Cancel(ctx)
}

// remove tries for 10 s.
func remove(dir string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		if err := os.RemoveAll(dir); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func TestPagesInARealBrowser(t *testing.T) {
	ctx := browser(t)
	s := load(t, Options{Accent: "#0a7d5a"})
	var known atomic.Bool
	posted := make(chan string, 1)
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		select {
		case posted <- string(b):
		default:
		}
		_, _ = io.WriteString(w, "<title>idp</title><h1 id=idp>idp</h1>")
	}))
	t.Cleanup(idp.Close)
	origins := make(chan string, 8)
	show := func(v View) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { s.Write(w, r, http.StatusOK, v) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/deep", func(w http.ResponseWriter, r *http.Request) {
		if known.Load() {
			_, _ = io.WriteString(w, "<h1 id=arrived>arrived</h1>")
			return
		}
		s.Write(w, r, http.StatusUnauthorized, View{Kind: KindLongAddress, Back: r.URL.RequestURI(), Link: "/login", Key: "k1"})
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		known.Store(true)
		s.Write(w, r, http.StatusOK, View{Kind: KindResume, Link: "/home", Key: "k1"})
	})
	mux.HandleFunc("/home", show(View{Kind: KindSignedOut}))
	mux.HandleFunc("/post", show(View{Kind: KindPost, Action: idp.URL + "/sso", Fields: []flows.FormField{{Name: "submit", Value: `"<x>`}}}))
	mux.HandleFunc("/ask", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			origins <- r.Header.Get("Origin")
			http.Redirect(w, r, idp.URL+"/authorize", http.StatusSeeOther)
			return
		}
		s.Write(w, r, http.StatusOK, View{Action: "/ask", FormAction: []string{"http://127.0.0.1:*"}, Page: &flows.Page{Kind: "choose", Widgets: []flows.Widget{
			flows.Choice{Name: "provider", Value: "a", Label: "Company"},
		}}})
	})
	here := httptest.NewServer(mux)
	t.Cleanup(here.Close)
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && strings.Contains(e.Entry.Text, "Content Security Policy") {
			t.Errorf("the browser refused: %s", e.Entry.Text)
		}
	})

	long := here.URL + "/deep?x=" + strings.Repeat("y", 2000) + "#/r/42"
	var at, colour string
	run(t, ctx, "B05, B10: a long address and its fragment come back", chromedp.Navigate(long), chromedp.WaitVisible("#arrived"), chromedp.Location(&at))
	if at != long {
		t.Errorf("arrived at %q", at)
	}
	for _, evil := range []string{"https://evil.example/", "javascript:alert(1)", "//evil.example", "not a url", here.URL + ".evil.example/"} {
		run(t, ctx, "B1: what the application wrote is not followed", chromedp.Navigate(here.URL+"/home"),
			chromedp.Evaluate(fmt.Sprintf("sessionStorage.setItem('sallyport.k1', %q)", evil), nil),
			chromedp.Navigate(here.URL+"/login"), chromedp.WaitVisible("main.signed_out"), chromedp.Location(&at))
		if at != here.URL+"/home" {
			t.Errorf("%q led to %q", evil, at)
		}
	}
	run(t, ctx, "a form posts itself", chromedp.Navigate(here.URL+"/post"), chromedp.WaitVisible("#idp"))
	if got := <-posted; got != "submit=%22%3Cx%3E" {
		t.Errorf("posted %q", got)
	}
	run(t, ctx, "B7: a chooser may lead to its provider, and is ours by Origin (I11)", chromedp.Navigate(here.URL+"/ask"),
		chromedp.Evaluate("getComputedStyle(document.querySelector('main')).borderTopLeftRadius", &colour),
		chromedp.Click("button.choice"), chromedp.WaitVisible("#idp"))
	if got := <-origins; got != here.URL {
		t.Errorf("Origin %q", got)
	}
	if colour == "0px" {
		t.Error("the style sheet was not applied")
	}
}

func run(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action) { //nolint:revive // t first
	t.Helper()
	if err := chromedp.Run(ctx, append([]chromedp.Action{log.Enable()}, actions...)...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
