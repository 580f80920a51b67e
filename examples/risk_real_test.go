//go:build real

package examples_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestB28ANewDeviceInTheBrowser: a login in Chromium is challenged on a new device and
// not on the second visit, and a session that moves to another profile is.
func TestB28ANewDeviceInTheBrowser(t *testing.T) {
	const code, echo = `input[name="code"]`, `//*[contains(text(), "X-User-Name: mkunz")]`
	c := startRisk(t)
	w := parts.Chromium(t)
	w.Run("a new device", chromedp.Navigate(c.URL+"/home"), parts.See(code))
	w.Screenshot("risk-set-up")
	var body string
	w.Run("the key", chromedp.OuterHTML("html", &body, chromedp.ByQuery))
	key := secret(t, body)
	w.Run("a code", parts.Type(code, c.code(key)+kb.Enter), parts.See(echo))

	c.pass(13 * time.Hour)
	w.Run("the second visit", chromedp.Navigate(c.URL+"/home?again"), parts.See(echo))

	other := parts.Chromium(t)
	other.Run("another device", chromedp.Navigate(c.URL+"/home"), parts.See(code))
	other.Screenshot("risk-challenged")
	other.Run("a code there", parts.Type(code, c.code(key)+kb.Enter), parts.See(echo))
	c.pass(13 * time.Hour)
	other.Run("its second visit", chromedp.Navigate(c.URL+"/home?again"), parts.See(echo))
}
