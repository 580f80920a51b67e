//go:build real

package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/examples/axe"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// factors is the Caddyfile with a second factor behind the login: whoever signs in
// by either provider is the same person.
func factors(t *testing.T) string {
	t.Helper()
	text := caddyfile
	for old, fresh := range map[string]string{
		"\t\tprovider company oidc {\n":    "\t\tfactor totp\n\t\tfactor recovery\n\t\tflow staff {\n\t\t\tlogin company emergency\n\t\t\tmfa totp recovery\n\t\t}\n\t\tprovider company oidc {\n\t\t\trealm staff\n",
		"\t\tprovider emergency local {\n": "\t\tprovider emergency local {\n\t\t\trealm staff\n",
		"\tprotect {\n":                    "\tprotect staff {\n",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the Caddyfile has no %q", old)
		}
		text = strings.Replace(text, old, fresh, 1)
	}
	return text
}

// walk is somebody without a mouse.
type walk struct {
	t      *testing.T
	w      *parts.Window
	source string
}

// page waits for a page by its heading, has axe-core judge it and looks where the
// focus is: what must be named, and shown by an outline.
func (k *walk) page(name, title, focus string) {
	k.t.Helper()
	var j axe.Judgement
	k.w.Run(name, parts.See(`//title[contains(., "`+title+`")]/ancestor::html`), axe.Ask(k.source, &j))
	if len(j.Wrong) > 0 {
		k.t.Errorf("%s: %s", name, j)
	}
	k.focused(name, focus)
	k.w.Screenshot("keyboard-" + name)
}

// focused checks what has the focus, and that it can be seen.
func (k *walk) focused(where, want string) {
	k.t.Helper()
	var got struct {
		What  string
		Shown bool
	}
	k.w.Run("the focus", chromedp.Evaluate(`(() => {
		const e = document.activeElement, s = getComputedStyle(e);
		return {What: e === document.body ? "" : e.name || e.textContent.trim(), Shown: e === document.body || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2};
	})()`, &got))
	if got.What != want || !got.Shown {
		k.t.Errorf("%s: the focus is on %q (seen: %v), want %q", where, got.What, got.Shown, want)
	}
}

// keys presses keys.
func (k *walk) keys(what, keys string) {
	k.t.Helper()
	k.w.Run(what, chromedp.KeyEvent(keys))
}

// tabs presses Tab and checks each time where that leads.
func (k *walk) tabs(order ...string) {
	k.t.Helper()
	for _, want := range order {
		k.keys("Tab", kb.Tab)
		k.focused("Tab", want)
	}
}

// TestKeyboardWalk goes the way of everybody without a mouse: sets up an app,
// keeps the recovery codes, signs out, signs in by name and password, mistypes
// both, and uses a recovery code instead.
func TestKeyboardWalk(t *testing.T) {
	t.Parallel()
	port := parts.Port(t)
	op := parts.OIDCStrong(t, parts.Port(t), "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g := parts.GatewayAt(t, port, factors(t), "APP="+parts.Echo(t), "ISSUER="+op.Issuer, "CLIENT_ID=gw", "CLIENT_SECRET=gw-secret",
		"ALICE_HASH="+hash(t, "alicepw"), "BOB_HASH="+hash(t, "bobpw"))
	k := &walk{t: t, w: parts.Chromium(t), source: axe.Source(t)}
	k.w.Run("the application", chromedp.Navigate(g.URL+"/a"))
	codes := k.setUp()
	k.signOut()
	k.signIn(g, codes[3])
	has(t, k.w, "GET /b", "Remote-User: alice")
	k.account(g, codes[4])
	k.askedBySomebodyElse(g)
}

// setUp signs in at the provider and enrols, and answers the recovery codes.
func (k *walk) setUp() []string {
	k.page("chooser", "Sign in", "")
	k.tabs("provider")
	k.keys("the company", " ")
	k.w.Run("the provider's own page", parts.See(username), chromedp.KeyEvent("alice"+kb.Tab+"alicepw"+kb.Enter))
	k.page("set-up", "Set up an authenticator app", "code")
	key := k.text(`.scan code`)
	k.keys("no code", "000000"+kb.Enter)
	k.page("set-up-refused", "Error: Set up an authenticator app", "code")
	if again := k.text(`.scan code`); again != key {
		k.t.Errorf("the key changed from %s to %s", key, again)
	}
	// The step before, so that the next code is worth something at once.
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), time.Now().Add(-30*time.Second))
	if err != nil {
		k.t.Fatal(err)
	}
	k.keys("the code", code+kb.Enter)
	k.page("codes", "Keep these recovery codes", "")
	codes := strings.Fields(k.text(`.codes`))
	k.tabs("download")
	if saved := k.save(); saved != strings.Join(codes, "\r\n")+"\r\n" {
		k.t.Errorf("saved %q, shown %q", saved, codes)
	}
	k.focused("after the file", "download")
	k.tabs("I have saved them")
	k.keys("go on", kb.Enter)
	k.w.Run("the application", parts.See(echo))
	return codes
}

// save presses Space on the button that has the focus and reads the file.
func (k *walk) save() string {
	k.t.Helper()
	dir := k.t.TempDir()
	k.w.Run("a folder for it", chromedp.ActionFunc(func(ctx context.Context) error {
		return browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir).Do(ctx)
	}), chromedp.KeyEvent(" "))
	var b []byte
	parts.Await(k.t, "the file", 10*time.Second, func() (err error) {
		b, err = os.ReadFile(filepath.Join(dir, "recovery-codes.txt"))
		return err
	})
	return string(b)
}

// signOut is the application's own link; the provider has a page of its own, too.
func (k *walk) signOut() {
	k.w.Run("logout", chromedp.Focus(`a[href="/.identity/logout"]`), chromedp.KeyEvent(kb.Enter))
	k.w.Run("the provider's own page", parts.See(`button[name="logout"]`), chromedp.KeyEvent(kb.Enter))
	k.page("signed-out", "You are signed out", "")
	k.tabs("Sign in again")
}

// account gives a factor a name, proves it with a recovery code, and looks into
// removing it.
func (k *walk) account(g *parts.GatewayProcess, spare string) {
	k.w.Run("the account", chromedp.Navigate(g.URL+"/.identity/account"))
	k.page("account", "Your account", "")
	k.tabs("Rename", "Remove", "Rename", "Remove")
	k.w.Run("back to the first", chromedp.Navigate(g.URL+"/.identity/account"), parts.See("main.account"))
	k.tabs("Rename")
	k.keys("name it", kb.Enter)
	k.page("account-name", "Name a second factor", "name")
	k.keys("the name", "On paper"+kb.Enter)
	k.page("account-proof", "Enter the code from your app", "code")
	k.tabs("Continue", "factor")
	k.keys("a recovery code instead", " ")
	k.page("account-recovery", "Use a recovery code", "code")
	k.keys("the code", spare+kb.Enter)
	k.page("account-named", "Your account", "")
	has(k.t, k.w, "On paper", "The name is saved.")
	k.tabs("Rename", "Remove")
	k.keys("remove it", " ")
	k.page("account-remove", "Remove a second factor?", "")
	k.tabs("Remove this factor")
}

// askedBySomebodyElse follows a link on another site, which signs nobody out.
func (k *walk) askedBySomebodyElse(g *parts.GatewayProcess) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><title>other</title><a href="%s/.identity/logout">A kitten</a>`, g.URL)
	}))
	k.t.Cleanup(other.Close)
	link := func() {
		k.w.Run("a link on another site", chromedp.Navigate(strings.Replace(other.URL, "127.0.0.1", "localhost", 1)), parts.See("a"), chromedp.KeyEvent(kb.Tab+kb.Enter))
		k.page("confirm-logout", "Sign out?", "")
	}
	link()
	k.tabs("Sign out", "Stay signed in")
	k.keys("stay", kb.Enter)
	k.w.Run("the application", parts.See(echo))
	has(k.t, k.w, "Remote-User: alice")
	link()
	k.tabs("Sign out")
	k.keys("leave", " ")
	k.page("signed-out-again", "You are signed out", "")
}

// signIn mistypes the password and the code, and then has the app elsewhere.
func (k *walk) signIn(g *parts.GatewayProcess, spare string) {
	k.w.Run("the application", chromedp.Navigate(g.URL+"/b"))
	k.page("chooser-again", "Sign in", "")
	k.tabs("provider", "provider")
	k.keys("the emergency", kb.Enter)
	k.w.Run("the next page, which has the same heading", parts.See(username))
	k.page("password", "Sign in", "username")
	k.keys("a wrong password", "alice"+kb.Tab+"wrong"+kb.Enter)
	k.page("password-refused", "Error: Sign in", "password")
	k.keys("the right one", "alicepw"+kb.Enter)
	k.page("totp", "Enter the code from your app", "code")
	k.keys("a wrong code", "000000"+kb.Enter)
	k.page("totp-refused", "Error: Enter the code from your app", "code")
	k.tabs("Continue", "factor")
	k.keys("a recovery code instead", " ")
	k.page("recovery", "Use a recovery code", "code")
	k.keys("the code", strings.ToLower(spare)+kb.Enter)
	k.w.Run("the application", parts.See(echo))
}

func (k *walk) text(selector string) (text string) {
	k.t.Helper()
	k.w.Run(selector, chromedp.Evaluate(`document.querySelector("`+selector+`").innerText`, &text))
	return text
}
