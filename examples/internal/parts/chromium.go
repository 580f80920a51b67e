package parts

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Window is a real browser.
type Window struct {
	// Context is what chromedp.Run wants; it ends with the test, at most after four minutes.
	Context context.Context
	t       testing.TB

	mu       sync.Mutex
	problems []string
}

// Chromium starts a browser with a fresh profile. When the test ends, every
// violation of a content security policy and every script error that the
// console showed is a failure.
func Chromium(t testing.TB, options ...chromedp.ExecAllocatorOption) *Window {
	t.Helper()
	path := Need(t, "chromium")
	profile, err := os.MkdirTemp("", "sallyport-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	// Chromium goes on writing for a moment after it is told to end.
	t.Cleanup(func() {
		if err := poll(10*time.Second, func() error { return os.RemoveAll(profile) }); err != nil {
			t.Logf("the profile of chromium: %v", err)
		}
	})
	all := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute), chromedp.WindowSize(1000, 750),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en"))
	actx, stop := chromedp.NewExecAllocator(context.Background(), append(all, options...)...)
	window, cancel := chromedp.NewContext(actx)
	ctx, end := context.WithTimeout(window, 4*time.Minute)
	t.Cleanup(func() {
		quit(window)
		end()
		cancel()
		stop()
		chromedp.FromContext(window).Allocator.Wait()
	})
	w := &Window{t: t}
	w.listen(ctx)
	w.Context = ctx
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.problems {
			t.Errorf("the browser's console: %s", p)
		}
	})
	return w
}

// quit closes the browser and waits for its process, both within 10 s: what is
// only killed leaves children behind that still write into the profile.
func quit(window context.Context) {
	ctx, cancel := context.WithTimeout(window, 10*time.Second)
	defer cancel()
	_ = chromedp.Cancel(ctx)
}

// Tab opens another tab of the same profile.
func (w *Window) Tab() *Window {
	ctx, cancel := chromedp.NewContext(w.Context)
	w.t.Cleanup(cancel)
	tab := &Window{Context: ctx, t: w.t}
	w.listenInto(ctx, w)
	return tab
}

// Listen calls f for every event of this tab; f must not wait.
func (w *Window) Listen(f func(event any)) { chromedp.ListenTarget(w.Context, f) }

// Cookies reads the cookies that would be sent to an address.
func Cookies(into *[]*network.Cookie, address string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) (err error) {
		*into, err = network.GetCookies().WithURLs([]string{address}).Do(ctx)
		return err
	})
}

func (w *Window) listen(ctx context.Context) { w.listenInto(ctx, w) }

func (w *Window) listenInto(ctx context.Context, sink *Window) {
	chromedp.ListenTarget(ctx, func(event any) {
		text := ""
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") {
				text = e.Entry.Text
			}
		case *runtime.EventExceptionThrown:
			text = e.ExceptionDetails.Error()
		}
		if text != "" {
			sink.mu.Lock()
			defer sink.mu.Unlock()
			sink.problems = append(sink.problems, text)
		}
	})
}

// Run runs actions, all of them within a minute; what says what a person would see.
func (w *Window) Run(what string, actions ...chromedp.Action) {
	w.t.Helper()
	// A tab in the background paints nothing, and waiting for something visible never ends.
	actions = append([]chromedp.Action{page.BringToFront()}, actions...)
	// The first Run of a chromedp context starts the browser, and a context that
	// ends would end it: so the bound is one of its own goroutine, not of the context.
	done := make(chan error, 1)
	go func() { done <- chromedp.Run(w.Context, actions...) }()
	select {
	case err := <-done:
		if err != nil {
			w.t.Fatalf("%s: %v\n%s", what, err, w.whereAmI())
		}
	case <-time.After(time.Minute):
		w.t.Fatalf("%s: not after a minute\n%s", what, w.whereAmI())
	}
}

func (w *Window) whereAmI() string {
	ctx, cancel := context.WithTimeout(w.Context, 3*time.Second)
	defer cancel()
	var at, text string
	_ = chromedp.Run(ctx, chromedp.Location(&at), chromedp.Evaluate("document.body ? document.body.innerText : ''", &text))
	return at + "\n" + text
}

// Location is the address of the page.
func (w *Window) Location() (at string) {
	w.t.Helper()
	w.Run("reading the address", chromedp.Location(&at))
	return at
}

// Text is what the page says.
func (w *Window) Text() (text string) {
	w.t.Helper()
	w.Run("reading the page", chromedp.Evaluate("document.body.innerText", &text))
	return text
}

// Screenshot writes NAME.png into the folder that the environment variable
// SCREENSHOTS names; without one it only takes the picture.
func (w *Window) Screenshot(name string) {
	w.t.Helper()
	var picture []byte
	w.Run("a screenshot", chromedp.FullScreenshot(&picture, 100))
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = w.t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pictures for everyone
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil { //nolint:gosec // pictures for everyone
		w.t.Fatal(err)
	}
}
