//go:build real

package pages

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/sallyport-gateway/sallyport/flows"
)

// keyPages serves a page that makes a key and one that uses it, and hands over
// what was posted to them.
func keyPages(t *testing.T) (address string, posted chan map[string]any) {
	t.Helper()
	s := load(t, Options{})
	posted = make(chan map[string]any, 1)
	options := map[string]string{
		"/create": `{"rp":{"id":"localhost","name":"Here"},"user":{"id":"_-4AAQ","name":"mara","displayName":"Mara"},"challenge":"_-7-AAAAAAAAAAAAAAAAAA","pubKeyCredParams":[{"type":"public-key","alg":-7}],"authenticatorSelection":{"residentKey":"preferred"},"excludeCredentials":[]}`,
		"/use":    `{"challenge":"AAAAAAAAAAAAAAAAAAAA_-","rpId":"localhost","userVerification":"required"}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			var c map[string]any
			_ = json.Unmarshal([]byte(r.PostFormValue("credential")), &c)
			posted <- c
		}
		page := &flows.Page{Kind: "choose", Widgets: []flows.Widget{
			flows.Field{Name: "name", Label: "username"},
			flows.Credential{Name: "credential", Label: "use_webauthn", Create: r.URL.Path == "/create", Options: json.RawMessage(options[r.URL.Path])},
			flows.Choice{Name: "factor", Value: "totp", Label: "use_totp"},
		}}
		s.Write(w, r, http.StatusOK, View{Page: page, Action: r.URL.Path})
	}))
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), posted
}

// authenticator gives the browser a key that signs for whoever it belongs to.
func authenticator(id *webauthn.AuthenticatorID) chromedp.ActionFunc {
	return func(ctx context.Context) (err error) {
		if err = webauthn.Enable().Do(ctx); err != nil {
			return err
		}
		*id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}
}

const keyButton = "#credential button"

// What a browser says of a key is posted; where it says no, the person hears of it
// and can go on otherwise.
func TestAKeyInARealBrowser(t *testing.T) {
	ctx := browser(t)
	here, posted := keyPages(t)
	var focused bool
	var id webauthn.AuthenticatorID
	run(t, ctx, "the page that makes one", authenticator(&id), chromedp.Navigate(here+"/create"), chromedp.WaitVisible(keyButton),
		chromedp.Evaluate(`document.activeElement.matches("`+keyButton+`")`, &focused))
	if !focused {
		t.Error("the focus is not on the button")
	}
	run(t, ctx, "making one from the keyboard", chromedp.KeyEvent("\r"))
	made := <-posted
	if r, _ := made["response"].(map[string]any); made["id"] == nil || made["id"] != made["rawId"] || r["attestationObject"] == nil || r["clientDataJSON"] == nil {
		t.Fatalf("posted %v", made)
	}
	run(t, ctx, "using it", chromedp.Navigate(here+"/use"), chromedp.WaitVisible(keyButton), chromedp.Click(keyButton))
	used := <-posted
	if r, _ := used["response"].(map[string]any); used["id"] != made["id"] || r["signature"] == nil || r["authenticatorData"] == nil || r["userHandle"] != "_-4AAQ" {
		t.Fatalf("posted %v", used)
	}
	run(t, ctx, "somebody else holds it", webauthn.SetUserVerified(id, false), chromedp.Navigate(here+"/use"), chromedp.WaitVisible(keyButton),
		chromedp.Click(keyButton), chromedp.WaitVisible(`[data-case="failed"]`), chromedp.WaitEnabled(keyButton), chromedp.Click("button.choice"))
	if got := <-posted; len(got) != 0 {
		t.Errorf("a key was posted: %v", got)
	}
	run(t, ctx, "a host that can have no key", chromedp.Navigate(strings.Replace(here, "localhost", "127.0.0.1", 1)+"/use"),
		chromedp.WaitVisible(keyButton), chromedp.Click(keyButton), chromedp.WaitVisible(`[data-case="failed"]`))
}
