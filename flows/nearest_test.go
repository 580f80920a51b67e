package flows_test

import (
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	have := []string{"email", "groups", "department", "id"}
	for got, want := range map[string]string{
		"grups": "groups", "Groups": "groups", "gruops": "groups", "departmnet": "department", "emial": "email",
		"company": "", "ip": "", "": "", "grrruppps": "", strings.Repeat("groups", 5000): "",
	} {
		if n := flows.Nearest(got, have); n != want {
			t.Errorf("%.20q: %q, want %q", got, n, want)
		}
	}
}
