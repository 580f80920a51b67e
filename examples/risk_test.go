package examples_test

import (
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/module"
)

// cautious is the gateway of the example, with a clock that the test turns.
type cautious struct {
	*walk
	ahead atomic.Int64
}

func startRisk(t *testing.T) *cautious {
	t.Helper()
	c := new(cautious)
	module.SetClock(c.now)
	t.Cleanup(func() { module.SetClock(nil) })
	c.walk = start(t, "risk")
	c.op.SetClock(c.now)
	user := maps.Clone(mara)
	user["amr"] = []string{"pwd", "mfa"}
	c.op.SetUser(user)
	return c
}

func (c *cautious) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *cautious) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// secret is the one on the page that sets up an app.
func secret(t *testing.T, body string) string {
	t.Helper()
	m := manualKey.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no key on the page:\n%s", body)
	}
	return strings.ReplaceAll(m[1], " ", "")
}

// code is the next one of an app.
func (c *cautious) code(secret string) string {
	c.t.Helper()
	c.pass(time.Minute)
	text, err := totp.GenerateCode(secret, c.now())
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// TestRiskExample: a new device gets a second factor, a known one does not.
func TestRiskExample(t *testing.T) {
	c := startRisk(t)
	b := parts.Browser(t)
	page := b.Open(c.URL + "/home")
	key := secret(t, page.Body)
	page.Fill("code", c.code(key)).Want(http.StatusOK, "X-User-Name: mkunz")

	c.pass(13 * time.Hour)
	b.Open(c.URL+"/home").Want(http.StatusOK, "X-User-Name: mkunz")

	other := parts.Browser(t)
	page = other.Open(c.URL + "/home")
	page.Want(http.StatusOK, "one-time-code")
	page.Fill("code", c.code(key)).Want(http.StatusOK, "X-User-Name: mkunz")
	c.pass(13 * time.Hour)
	other.Open(c.URL+"/home").Want(http.StatusOK, "X-User-Name: mkunz")
}
