package examples_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/assertion"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestAssertionExample: the application verifies by itself, and believes neither a
// browser nor somebody beside the gateway.
func TestAssertionExample(t *testing.T) {
	var payroll http.Handler
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { payroll.ServeHTTP(w, r) }))
	t.Cleanup(app.Close)
	w := start(t, "assertion", "APP="+strings.TrimPrefix(app.URL, "http://"))
	payroll = assertion.Payroll(w.URL)

	const mara = "company:u-4711 is mkunz, employee 00427, of [payroll staff]"
	b := parts.Browser(t)
	b.Open(w.URL+"/").Want(http.StatusOK, mara)
	b.Send(browser.Request{URL: w.URL + "/", Header: http.Header{"X-Identity-Assertion": {"eyJhbGciOiJub25lIn0.e30."}}}).Want(http.StatusOK, mara)
	b.Open(w.URL+"/public/x").Want(http.StatusUnauthorized, "who are you?")
	b.Open(app.URL+"/").Want(http.StatusUnauthorized, "who are you?")
}
