package examples_test

import (
	"net/http"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestContractorExample: terms and questions once, and the last word is what the
// provider vouches for.
func TestContractorExample(t *testing.T) {
	w := start(t, "contractor")
	contractor := map[string]any{"groups": []string{"contractors"}, "sites": []string{"Berlin", "Lyon"}}

	w.as(nil)
	parts.Browser(t).Open(w.URL+"/").Want(http.StatusForbidden, "This is for contractors.")

	w.as(contractor)
	parts.Browser(t).Open(w.URL+"/").Want(http.StatusOK, "Terms for contractors").
		Fill("answer", "decline").Want(http.StatusForbidden, "You did not agree")

	b := parts.Browser(t)
	p := b.Open(w.URL + "/wanted?a=1")
	p.Want(http.StatusOK, "Your access ends with your contract.")
	p = p.Fill("answer", "agree")
	p.Want(http.StatusOK, "Your visit")
	p = p.Fill("firm", "Acme", "site", "Paris")
	p.Want(http.StatusUnprocessableEntity, "Choose one of the list", "Acme")
	p = p.Fill("firm", "Acme", "site", "Madrid")
	p.Want(http.StatusForbidden, "You are not booked for this site.")

	w.as(map[string]any{"groups": []string{"contractors"}, "sites": []string{"Madrid"}})
	p = parts.Browser(t).Open(w.URL + "/wanted?a=1") // terms and answers are kept
	p.Want(http.StatusOK, "GET /wanted?a=1", "X-Contractor: mkunz", "X-Firm: Acme, Madrid")
	b.Send(browser.Request{URL: w.URL + "/", Script: true}).Want(http.StatusUnauthorized)
}
