package ldap

import (
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/internal/ldapconn/ldaptest"
)

// TestI23CheckAsksEveryServer: one that answers is enough, and a frozen one does not
// keep the other's answer waiting.
func TestI23CheckAsksEveryServer(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(s *ldaptest.Server){"killed": (*ldaptest.Server).Kill, "frozen": (*ldaptest.Server).Freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, other, p := two(t)
			fault(one)
			if err := p.Check(t.Context()); err != nil {
				t.Errorf("one of two is there: %v", err)
			}
			other.Kill()
			if name == "frozen" {
				return // only the time of the check ends the wait
			}
			if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), one.URL()) || !strings.Contains(err.Error(), other.URL()) {
				t.Errorf("both gone: %v", err)
			}
		})
	}
}
