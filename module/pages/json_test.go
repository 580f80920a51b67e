package pages

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestB9ProgramsGetJSON(t *testing.T) {
	t.Parallel()
	browser := "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tc := range []struct {
		name, accept, mode string
		want               bool
	}{
		{"browser", browser, "navigate", false},
		{"old browser", browser, "", false},
		{"json", "application/json", "cors", true},
		{"json by hand", "application/json", "", true},
		{"json navigating", "application/json", "navigate", true},
		{"problem+json", "application/problem+json", "", true},
		{"json preferred", "application/json, text/html;q=0.9", "", true},
		{"html preferred", "text/html, application/json;q=0.9", "", false},
		{"both alike", "text/html, application/json", "", false},
		{"html refused", "text/html;q=0, */*", "", true},
		{"fetch", "*/*", "cors", true},
		{"image", "image/avif,*/*", "no-cors", true},
		{"curl", "*/*", "", true},
		{"nothing", "", "", true},
		{"navigating with anything", "*/*", "navigate", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept", tc.accept)
			if tc.mode != "" {
				r.Header.Set("Sec-Fetch-Mode", tc.mode)
			}
			if got := WantsJSON(r); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestJSONOfEveryKind(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	for _, tc := range []struct {
		name string
		v    View
		want map[string]any
	}{
		{"denied", View{Kind: KindDenied, Reason: flows.ReasonAssuranceNotMet, ID: "e1", Text: "No."}, map[string]any{"error": "not_allowed", "reason": "assurance_not_met", "id": "e1", "text": "No."}},
		{"denied plainly", View{Kind: KindDenied, Text: "No."}, map[string]any{"error": "not_allowed", "reason": "not_allowed", "text": "No."}},
		{"error", View{Kind: KindError, Reason: flows.ReasonStoreDown, Text: "x", RetryAfter: 3, Link: "javascript:x"}, map[string]any{"error": "store_unavailable", "reason": "store_unavailable", "text": "x", "retry_after": 3.0}},
		{"error without reason", View{Kind: KindError, Text: "x"}, map[string]any{"error": "internal", "reason": "internal", "text": "x"}},
		{"login", View{Kind: KindLoginRequired, Text: "x", Link: "/.identity/login?return_to=%2F"}, map[string]any{"error": "login_required", "login_url": "/.identity/login?return_to=%2F", "text": "x"}},
		{"signed out", View{Kind: KindSignedOut, Text: "x", Link: "/"}, map[string]any{"state": "signed_out", "text": "x", "link": "/"}},
		{"confirm", View{Kind: KindConfirmLogout, Text: "x", Action: "/.identity/logout", Token: "t"}, map[string]any{"state": "confirm_logout", "text": "x", "action": "/.identity/logout", "token": "t"}},
		{"post", View{Kind: KindPost, Text: "x", Action: "https://idp.example/", Fields: []flows.FormField{{Name: "a", Value: "b"}}}, map[string]any{"state": "post", "text": "x", "action": "https://idp.example/", "fields": []any{map[string]any{"name": "a", "value": "b"}}}},
		{"ask", View{Action: "/.identity/flow", Token: "t", Page: &flows.Page{
			Kind: "password", Problem: flows.ReasonBadCredentials, Wait: 2, Submit: "sign_in",
			Widgets: []flows.Widget{flows.Field{Name: "u", Label: "username", Value: "m", Autocomplete: "username"}, flows.Secret{Name: "p", Label: "password"}, flows.Choice{Name: "c", Value: "v", Label: "Corp", Detail: "d"}, flows.Note{Text: "n"}},
		}}, map[string]any{"state": "ask", "action": "/.identity/flow", "token": "t", "step": 0.0, "serial": 0.0, "page": map[string]any{
			"kind": "password", "title": "Sign in", "problem": "bad_credentials", "problem_text": "User name and password do not match. Please check both and try again.", "wait": 2.0, "submit": "sign_in",
			"widgets": []any{
				map[string]any{"type": "field", "name": "u", "label": "username", "value": "m", "input": "text", "autocomplete": "username", "text": "User name"},
				map[string]any{"type": "secret", "name": "p", "label": "password", "text": "Password"},
				map[string]any{"type": "choice", "name": "c", "value": "v", "label": "Corp", "detail": "d", "text": "Corp"},
				map[string]any{"type": "note", "text": "n"},
			},
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := get(s, tc.v, "Accept", "application/json")
			if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %q", w.Header().Get("Content-Type"))
			}
			want, _ := json.Marshal(tc.want)
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			have, _ := json.Marshal(got)
			if string(have) != string(want) {
				t.Errorf("got  %s\nwant %s", have, want)
			}
		})
	}
}
