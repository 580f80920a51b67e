package examples_test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestAccessLogFilterOfTheDocs: with the filter that docs/operations.md gives,
// the access log holds nothing of a login that is of use to its reader.
func TestAccessLogFilterOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```caddyfile\npayroll.example.com {\n\tlog {\n")
	filter, _, closed := strings.Cut(rest, "\n}\n```")
	if !found || !closed {
		t.Fatal("docs/operations.md has no filter for the access log")
	}
	text, err := os.ReadFile("quickstart/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "access.log")
	w := run(t, "docs/operations.md", []byte(strings.Replace(string(text), "{$SITE} {\n", "{$SITE} {\n\tlog {\n\t\toutput file "+log+"\n"+filter+"\n", 1)))
	b := parts.Browser(t)
	b.Open(w.URL+"/wanted?a=1").Want(http.StatusOK, "SM_USER: mkunz")
	b.Open(w.URL+"/.identity/logout").Want(http.StatusOK, "signed out")
	repeated := http.Header{"Referer": {w.URL + "/x?code=" + w.op.TokenRequests()[0].Get("code")}}
	b.Send(browser.Request{URL: w.URL + "/last?return_to=%2Fprivate", Header: repeated, Script: true}).Want(http.StatusUnauthorized)
	asked, redeemed, ended := w.op.Requests(), w.op.TokenRequests(), w.op.Ended()
	if len(asked) != 1 || len(redeemed) != 1 || len(ended) != 1 {
		t.Fatalf("%d logins, %d codes, %d logouts at the provider, want 1 each", len(asked), len(redeemed), len(ended))
	}
	secrets := map[string]string{
		"state": asked[0].Get("state"), "nonce": asked[0].Get("nonce"), "code": redeemed[0].Get("code"),
		"id_token_hint": ended[0].Get("id_token_hint"), "state of the logout": ended[0].Get("state"),
	}
	for name, value := range secrets {
		if len(value) < 8 {
			t.Fatalf("the provider has seen no %s: %q", name, value)
		}
	}
	parts.Await(t, "the access log has the last request", 10*time.Second, func() error {
		if b, err := os.ReadFile(log); err != nil || !strings.Contains(string(b), "/last?") {
			return errors.Join(err, errors.New("not yet"))
		}
		return nil
	})
	written, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/wanted?a=1", "/last?return_to=REDACTED", "/x?code=REDACTED"} {
		if !strings.Contains(string(written), want) {
			t.Errorf("the log lacks %s:\n%s", want, written)
		}
	}
	for name, value := range secrets {
		if strings.Contains(string(written), value) || strings.Contains(string(written), url.QueryEscape(value)) {
			t.Errorf("the log holds %s=%s:\n%s", name, value, written)
		}
	}
}
