//go:build real

package examples_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestB09ALetterInTheBrowser: a real form, sent by its button after the session has
// ended, goes on by itself to the bank, once, whatever is reloaded and gone back to.
func TestB09ALetterInTheBrowser(t *testing.T) {
	b := openBank(t)
	w := parts.Chromium(t)
	letter := strings.Repeat("Dear bank, I am — not — amused. €\n", 3000)
	w.Run("the form", chromedp.Navigate(b.URL+"/letter"), parts.See("textarea"),
		chromedp.SetValue("textarea", letter, chromedp.ByQuery))
	b.pass(31 * time.Minute)
	w.Run("sending it", parts.Click("main button"), parts.See(`//h1[contains(., "Thank you")]`))
	if at := w.Location(); at != b.URL+"/letter" {
		t.Errorf("the answer is at %s", at)
	}
	w.Screenshot("bank-letter")
	body := url.Values{"text": {strings.ReplaceAll(letter, "\n", "\r\n")}}.Encode()
	body = strings.NewReplacer("%2A", "*").Replace(body)
	sum := sha256.Sum256([]byte(body))
	got := b.bank.Letters()
	if len(got) != 1 || got[0].Bytes != len(body) || got[0].Sum != hex.EncodeToString(sum[:]) {
		t.Fatalf("letters: %+v, want one of %d bytes", got, len(body))
	}
	w.Run("loading the answer again", chromedp.Reload(), parts.See(`//h1[contains(., "sent already")]`))
	w.Screenshot("bank-already-sent")
	w.Run("on to the bank", parts.Click(`a.button`), parts.See(`//h1[contains(., "Your account")]`))
	if n := len(b.bank.Letters()); n != 1 {
		t.Fatalf("it arrived %d times", n)
	}
}

// TestB09AFileInTheBrowser: a file that is uploaded, with its boundary and its bytes.
func TestB09AFileInTheBrowser(t *testing.T) {
	b := openBank(t)
	file := filepath.Join(t.TempDir(), "scan.bin")
	bytes := make([]byte, 100<<10)
	for i := range bytes {
		bytes[i] = byte(i * i >> 3)
	}
	if err := os.WriteFile(file, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	w := parts.Chromium(t)
	w.Run("the form", chromedp.Navigate(b.URL+"/letter"), parts.See("textarea"), chromedp.Evaluate(
		`document.forms[0].enctype = "multipart/form-data"; document.querySelector("textarea").outerHTML = '<input type="file" name="scan">'`, nil),
		chromedp.SetUploadFiles(`input[type="file"]`, []string{file}, chromedp.ByQuery))
	b.pass(31 * time.Minute)
	w.Run("sending it", parts.Click("main button"), parts.See(`//h1[contains(., "Thank you")]`))
	got := b.bank.Letters()
	if len(got) != 1 || got[0].Bytes < len(bytes) || got[0].Bytes > len(bytes)+400 {
		t.Fatalf("letters: %+v", got)
	}
}

// TestI21SomebodyElseInTheBrowser signs in as another person when the form is sent.
func TestI21SomebodyElseInTheBrowser(t *testing.T) {
	b := openBank(t)
	w := parts.Chromium(t)
	w.Run("the form", chromedp.Navigate(b.URL+"/letter"), parts.See("textarea"), chromedp.SetValue("textarea", "secret", chromedp.ByQuery))
	b.pass(31 * time.Minute)
	b.as(map[string]any{"sub": "u-other", "preferred_username": "other"})
	w.Run("sending it", parts.Click("main button"), parts.See(`//h1[contains(., "another account")]`))
	w.Screenshot("bank-anothers")
	if n := len(b.bank.Letters()); n != 0 {
		t.Fatalf("%d letters of somebody else", n)
	}
}

// types fills in a code and presses Enter.
func (h *holder) types() chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		return parts.Type(`input[name="code"]`, h.code()+kb.Enter).Do(ctx)
	})
}

// TestBankTransfersInTheBrowser: the old form twice, each with a code of its own on a
// page that says what it is for, and the new app with its window.
func TestBankTransfersInTheBrowser(t *testing.T) {
	b := openBank(t)
	h := b.enrolled()
	w := parts.Chromium(t)
	for i, payee := range []string{"Landlord & Sons", "Garage"} {
		w.Run("the form", chromedp.Navigate(b.URL+"/transfer"), parts.Type(`input[name="payee"]`, payee), parts.Type(`input[name="amount"]`, "950.00"+kb.Enter),
			parts.See(`input[name="code"]`))
		for _, text := range []string{"950.00", payee} {
			if !strings.Contains(w.Text(), text) {
				t.Errorf("the page does not say %q:\n%s", text, w.Text())
			}
		}
		w.Screenshot("bank-approve")
		w.Run("the code", h.types(), parts.See(`//h1[contains(., "on its way")]`))
		if n := len(b.bank.Transfers()); n != i+1 {
			t.Fatalf("%d transfers, want %d", n, i+1)
		}
	}
	b.made("Landlord & Sons", "Garage")

	w.Run("the new app", chromedp.Navigate(b.URL+"/app"), parts.Type("#payee", "Aunt"))
	opened := chromedp.WaitNewTarget(w.Context, func(i *target.Info) bool { return i.Type == "page" })
	w.Run("sending", parts.Type("#amount", "950.00"+kb.Enter), parts.See(`//p[contains(., "other window")]`))
	w.Screenshot("bank-app-waits")
	popup, cancel := chromedp.NewContext(w.Context, chromedp.WithTargetID(<-opened))
	defer cancel()
	code := h.types()
	if err := chromedp.Run(popup, parts.See(`input[name="code"]`), code); err != nil {
		t.Fatal(err)
	}
	w.Run("the answer", parts.See(`//p[contains(., "on its way")]`))
	w.Screenshot("bank-app")
	b.made("Landlord & Sons", "Garage", "Aunt")
}
