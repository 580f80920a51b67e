package module_test

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/factor/recovery"
	"github.com/sallyport-gateway/sallyport/adapters/factor/totp"
	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module"
)

// What must not be guessed is never made twice (M9). That no guest makes it from
// math/rand is a matter of imports: TestFloors.
func TestM09NothingRandomComesTwice(t *testing.T) {
	t.Parallel()
	now := module.Now()
	setUp := func(f flows.Enroller) func() []string {
		return func() []string {
			c := &flows.Challenge{User: &flows.User{Name: "alice"}, Origin: "https://a.example"}
			if err := f.BeginEnrol(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			var codes []string
			if json.Unmarshal(c.State, &codes) == nil {
				return codes
			}
			var made struct{ Key string }
			if err := json.Unmarshal(c.State, &made); err != nil || made.Key == "" {
				t.Fatalf("no key in %s", c.State)
			}
			return []string{made.Key}
		}
	}
	one := func(f func() string) func() []string { return func() []string { return []string{f()} } }
	for what, tc := range map[string]struct {
		n, bits int
		make    func() []string
	}{
		"ids":            {100_000, 128, one(module.NewID)},
		"runs":           {100_000, 48, one(func() string { return module.NewPendingID(now) })},
		"tickets":        {100_000, 256, one(func() string { return flowsession.NewTicket().Text() })},
		"recovery codes": {100_000, 80, setUp(new(recovery.Recovery))},
		"keys of apps":   {10_000, 160, setUp(new(totp.TOTP))},
	} {
		seen := make(map[string]bool, tc.n)
		for len(seen) < tc.n {
			for _, s := range tc.make() {
				if seen[s] {
					t.Fatalf("%s: %q came twice, after %d", what, s, len(seen))
				}
				if len(s)*6 < tc.bits { // at most six bits a sign
					t.Fatalf("%s: %q holds fewer than %d bits", what, s, tc.bits)
				}
				seen[s] = true
			}
		}
	}
}
