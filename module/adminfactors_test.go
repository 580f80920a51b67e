package module_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// An operator sees a person's factors and resets them, each call in the trail (I26).
// Resetting forgets the tries and ends the trust in browsers, too.
func TestI26FactorsOfAPerson(t *testing.T) {
	h := withFactor(t, rememberFlow)
	trusted := h.g.trusting(t, h.clock, h.secret)
	path := "/identity/users/" + key64("idp:u-alice") + "/factors"
	status, out := admin(t, http.MethodGet, path)
	if status != http.StatusOK || len(out["factors"].([]any)) != 2 || len(out["devices"].([]any)) != 1 {
		t.Fatalf("got %d %v", status, out)
	}
	if f := out["factors"].([]any)[0].(map[string]any); f["factor"] != "totp" || f["id"] == "" || f["created"] == nil || f["tries"] != nil {
		t.Errorf("a factor: %v", f)
	}
	if text := fmt.Sprint(out); strings.Contains(text, h.secret) || strings.Contains(text, trustCookie(t, h.g, trusted).Value) || strings.Contains(text, "hash") {
		t.Error("the list shows a secret")
	}

	// Fifty wrong codes in a row lock the factor, whatever the time between them.
	for range flows.MaxTries {
		h.clock.Advance(16 * time.Minute)
		p := fill(t, h.g.open(newBrowser(t), h.g.url("/a")), "code", "000000")
		want(t, p, http.StatusUnauthorized)
	}
	_, out = admin(t, http.MethodGet, path)
	if f := out["factors"].([]any)[0].(map[string]any); f["tries"] != float64(flows.MaxTries) || f["locked_until"] == nil {
		t.Errorf("a locked factor: %v", f)
	}
	h.clock.Advance(24 * time.Hour)
	want(t, fill(t, h.g.open(newBrowser(t), h.g.url("/a")), "code", h.code(t)), http.StatusTooManyRequests)

	before := h.g.count("admin")
	if status, out = admin(t, http.MethodDelete, path); status != http.StatusOK || out["removed"] != 2.0 {
		t.Fatalf("got %d %v", status, out)
	}
	if n := h.g.count("admin"); n != before+1 {
		t.Errorf("%d events of one call", n-before)
	}
	if e := h.g.events("factors_reset", 1); e[0]["user"] != "idp:u-alice" {
		t.Errorf("the trail says %v", e)
	}
	want(t, h.g.again(t, trusted), http.StatusForbidden) // neither factor nor trust is left
	_, out = admin(t, http.MethodGet, path)
	if len(out["factors"].([]any)) != 0 || len(out["devices"].([]any)) != 0 {
		t.Errorf("left over: %v", out)
	}
	secret, _, _ := h.g.enrolled(t, h.op, h.clock, newBrowser(t))
	h.secret = secret
	h.signedIn(t) // and the tries of before do not count
}

func TestAdminFactorsRefusals(t *testing.T) {
	g := start(t, people(t), plainSite)
	for _, tc := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/identity/users/" + key64("corp:alice") + "/factors", http.StatusMethodNotAllowed},
		{http.MethodGet, "/identity/users/" + key64("corp:alice") + "/sessions", http.StatusMethodNotAllowed},
		{http.MethodGet, "/identity/users/" + key64("corp:alice") + "/secrets", http.StatusNotFound},
		{http.MethodGet, "/identity/users/" + key64("alice") + "/factors", http.StatusBadRequest},
		{http.MethodDelete, "/identity/users/=/factors", http.StatusBadRequest},
		{http.MethodDelete, "/identity/users/" + key64("corp:alice") + "/factors/x", http.StatusNotFound},
		{http.MethodDelete, "/identity/users/" + key64("corp:nobody") + "/factors", http.StatusOK},
		{http.MethodGet, "/identity/users/" + key64("corp:nobody") + "/factors", http.StatusOK},
	} {
		if status, out := admin(t, tc.method, tc.path); status != tc.want {
			t.Errorf("%s %s: want %d, got %d %v", tc.method, tc.path, tc.want, status, out)
		}
	}
	_ = g
}
