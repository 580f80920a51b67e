//go:build real

package pages

import (
	_ "embed"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

func start(t *testing.T) *parts.GatewayProcess {
	t.Helper()
	port := parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	return gateway(t, port, op.Issuer)
}

func gateway(t *testing.T, port int, issuer string) *parts.GatewayProcess {
	t.Helper()
	return parts.GatewayAt(t, port, caddyfile, "APP="+parts.Echo(t),
		"ISSUER="+issuer, "CLIENT_ID=gw", "CLIENT_SECRET=gw-secret",
		"ALICE_HASH="+hash(t, "alicepw"), "BOB_HASH="+hash(t, "bobpw"))
}

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

const (
	chooser  = `button[value="company"]`
	username = `input[name="username"]`
	password = `input[name="password"]`
	echo     = `pre`
)

// has fails the test unless the page says all these texts.
func has(t *testing.T, w *parts.Window, texts ...string) {
	t.Helper()
	got := w.Text()
	for _, text := range texts {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(text)) {
			t.Errorf("%s: %q is not on the page:\n%s", w.Location(), text, got)
		}
	}
}

// TestPagesByKeyboard signs in without a mouse, through every page a person meets.
func TestPagesByKeyboard(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := parts.Chromium(t)
	w.Run("the chooser", chromedp.Navigate(g.URL+"/admin/x"), parts.See(chooser))
	has(t, w, "ACME Intranet", "company", "emergency")
	w.Screenshot("chooser")

	press(t, w, `button[value="emergency"]`)
	w.Run("the password page", parts.See(password))
	var focused string
	w.Run("the focus", chromedp.Evaluate(`document.activeElement.name`, &focused))
	if focused != "username" {
		t.Errorf("the focus is on %q, want the name", focused)
	}
	w.Screenshot("password")
	w.Run("a wrong password", chromedp.KeyEvent("bob"+kb.Tab+"wrong"+kb.Enter), parts.See(`[role="alert"]`))
	w.Screenshot("password-refused")
	var typed string
	w.Run("what was typed", chromedp.Value(password, &typed))
	if typed != "" {
		t.Error("the page sent the password back")
	}
	w.Run("the right one", chromedp.Focus(username), chromedp.Evaluate(`document.activeElement.select()`, nil),
		chromedp.KeyEvent("bob"+kb.Tab+"bobpw"+kb.Enter), parts.See(`//*[contains(., "Administrators only.")]`))
	has(t, w, "Administrators only. Ask the help desk, extension 4711.")
	w.Screenshot("denied")

	w.Run("bob's own page", chromedp.Navigate(g.URL+"/home"), parts.See(echo))
	has(t, w, "GET /home", "Remote-User: bob")
	w.Run("logout", chromedp.Focus(`a[href="/.identity/logout"]`), chromedp.KeyEvent(kb.Enter), parts.See(`//h1[contains(., "signed out")]`))
	has(t, w, "signed out")
	w.Screenshot("signed-out")
	if at := w.Location(); !strings.HasPrefix(at, g.URL+"/.identity/") {
		t.Errorf("logout ended at %s", at)
	}
}

// press moves the focus by the Tab key until it is on the element, then presses Enter.
func press(t *testing.T, w *parts.Window, selector string) {
	t.Helper()
	for range 20 {
		var there bool
		w.Run("the focus", chromedp.Evaluate(`document.activeElement.matches('`+selector+`')`, &there))
		if there {
			w.Run("Enter", chromedp.KeyEvent(kb.Enter))
			return
		}
		w.Run("Tab", chromedp.KeyEvent(kb.Tab))
	}
	t.Fatalf("the Tab key never reaches %s:\n%s", selector, w.Text())
}

// TestPagesThroughTheProvider is a whole OIDC login in the browser, with a deep
// link of more than 1.5 KB and a fragment (B05, B10), and what comes of the
// back button (B07).
func TestPagesThroughTheProvider(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := parts.Chromium(t)
	deep := g.URL + "/report?q=" + strings.Repeat("0123456789", 170) + "&end=1#/r/42"
	w.Run("the chooser", chromedp.Navigate(deep), parts.See(chooser), parts.Click(chooser),
		parts.See(username), parts.Type(username, "alice"), parts.Type(password, "alicepw"+kb.Enter),
		parts.See(echo))
	if at := w.Location(); at != deep {
		t.Errorf("landed at %.200s…, want the deep link with its fragment", at)
	}
	has(t, w, "Remote-User: alice", "end=1")

	// A login page of before, sent now: never a bare error. With a session it leads home.
	w.Run("a login page from before", chromedp.Navigate(g.URL+"/.identity/callback/company?code=x&state=y"), parts.See("body"))
	if text := w.Text(); strings.TrimSpace(text) == "" {
		t.Error("an empty page")
	}
}

// TestPagesOfErrors takes pictures of what should never be seen: a stale login
// and an error, on a phone and in the dark, too.
func TestPagesOfErrors(t *testing.T) {
	t.Parallel()
	g := gateway(t, parts.Port(t), "http://"+parts.Addr(parts.Port(t))) // nobody is there
	w := parts.Chromium(t)
	w.Run("a callback out of nowhere", chromedp.Navigate(g.URL+"/.identity/callback/company?code=x&state=y"), parts.See("main"))
	w.Screenshot("stale")
	w.Run("no such page", chromedp.Navigate(g.URL+"/.identity/nothing"), parts.See("main"))
	w.Screenshot("error")
	w.Run("the chooser on a phone, in the dark",
		chromedp.EmulateViewport(360, 640, chromedp.EmulateMobile),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
		chromedp.Navigate(g.URL+"/"), parts.See(chooser))
	var wide bool
	w.Run("its width", chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide))
	if wide {
		t.Error("the chooser is wider than a phone")
	}
	w.Screenshot("chooser-phone-dark")
	w.Run("a provider that is down", parts.Click(chooser), parts.See(`//*[contains(., "cannot be reached")]`))
	w.Screenshot("provider-down")
}

// TestB05TwentyTabs opens twenty tabs before anybody signs in: the pending
// logins stay few and small, the newest tab can sign in, and afterwards every
// other tab is in as soon as it is loaded again.
func TestB05TwentyTabs(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := parts.Chromium(t)
	w.Run("the first tab", chromedp.Navigate(g.URL+"/tab/0"), parts.See(chooser))
	var tabs []*parts.Window
	for i := range 19 {
		tab := w.Tab()
		tab.Run("another tab", chromedp.Navigate(g.URL+"/tab/"+string(rune('a'+i))), parts.See(chooser))
		tabs = append(tabs, tab)
	}
	newest, atProvider, before := tabs[18], tabs[17], tabs[9]
	atProvider.Run("on its way", parts.Click(chooser), parts.See(username))
	newest.Run("signing in", parts.Click(chooser), parts.See(username), parts.Type(username, "alice"),
		parts.Type(password, "alicepw"+kb.Enter), parts.See(echo))
	has(t, newest, "GET /tab/s", "Remote-User: alice")
	tabs[0].Run("the oldest", chromedp.Navigate(g.URL+"/tab/a"), parts.See(echo))
	has(t, tabs[0], "GET /tab/a", "Remote-User: alice")
	// B07: a page from before has nothing left to do and leads home.
	before.Run("a chooser from before", parts.Click(chooser), parts.See(echo))
	has(t, before, "GET /\n", "Remote-User: alice")
	// B06: a tab that was at the provider all the time lands where it wanted to go.
	atProvider.Run("the provider's page from before", parts.Type(username, "alice"),
		parts.Type(password, "alicepw"+kb.Enter), parts.See(echo))
	has(t, atProvider, "GET /tab/r", "Remote-User: alice")
}

// TestB05FortyPendingCookies does the same with a browser that shows its jar:
// together the pending logins stay below 4 KB, and a login clears them.
func TestB05FortyPendingCookies(t *testing.T) {
	t.Parallel()
	g := start(t)
	b := parts.Browser(t)
	size := func() (n int) {
		for _, c := range b.Jar.Cookies(g.URL + "/") {
			if !strings.Contains(c.Name, "_company") {
				n += len(c.Name) + len(c.Value) + len("=; ")
			}
		}
		return n
	}
	var last *parts.TestPage
	for range 40 {
		last = b.Open(g.URL + "/page?x=" + strings.Repeat("y", 400))
		if n := size(); n > 4096 {
			t.Fatalf("the pending logins have %d bytes together", n)
		}
	}
	f, err := last.FormWith("provider")
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("provider", "emergency")
	p, err := f.Submit()
	if err != nil {
		t.Fatal(err)
	}
	b.Page(p).Want(http.StatusOK, "password").Fill("username", "alice", "password", "alicepw").
		Want(http.StatusOK, "GET /page?x=", "Remote-User: alice")
	if n := size(); n == 0 || n >= 300 {
		t.Errorf("after the login the cookies have %d bytes, want 1 to 299", n)
	}
}
