package examples_test

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestWorkforceExample walks through a day on which the provider is gone for a while.
func TestWorkforceExample(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("on-paper"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, "workforce", "HEALTH_INTERVAL=1s", "ANNA_HASH="+string(hash), "NOAH_HASH="+string(hash))
	w.as(map[string]any{"groups": []string{"staff", "admins"}})
	user := func(name string) string { return "Remote-User: " + name }

	before := parts.Browser(t)
	before.Open(w.URL+"/admin/").Want(http.StatusOK, user("mkunz"))
	parts.Browser(t).Open(w.URL+"/.identity/login?provider=emergency&return_to=/").Want(http.StatusOK, user("mkunz"))

	w.op.SetDown(true)
	b := parts.Browser(t)
	page := w.until(b, "Emergency access")
	page.Want(http.StatusOK, "cannot be reached right now")
	page.Fill("username", "anna.emergency", "password", "guessed").Want(http.StatusUnauthorized)
	w.until(b, "Emergency access").Fill("username", "anna.emergency", "password", "on-paper").Want(http.StatusOK, user("anna.emergency"))
	b.Open(w.URL+"/admin/").Want(http.StatusForbidden, "not by emergency access")
	before.Open(w.URL+"/admin/").Want(http.StatusOK, user("mkunz"))

	w.op.SetDown(false)
	w.until(parts.Browser(t), user("mkunz"))
	b.Open(w.URL+"/").Want(http.StatusOK, user("anna.emergency"))
	b.Open(w.URL + "/admin/").Want(http.StatusForbidden)
	parts.Browser(t).Open(w.URL+"/.identity/login?provider=emergency&return_to=/").Want(http.StatusOK, user("mkunz"))
}

// until opens the front page anew until it says something; the checks of a provider
// take their time.
func (w *walk) until(b *parts.TestBrowser, text string) *parts.TestPage {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		p, err := b.Browser.Open(w.URL + "/")
		if err == nil && p.Has(text) {
			return b.Open(w.URL + "/")
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited for %q: %v", text, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
