//go:build real

package twoproviders

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// TestO11GroupsOfARealProviderAreReadAnew: with refresh tokens that rotate, and a
// provider that ends the grant when one is used twice, twenty requests at a time
// go on over several renewals, and see the groups that she is in now.
func TestO11GroupsOfARealProviderAreReadAnew(t *testing.T) {
	t.Parallel()
	port := parts.Port(t)
	callback := "http://" + parts.Addr(port) + "/.identity/callback/"
	north := parts.OIDCRefreshing(t, "north", 3, callback+"north")
	refreshing := strings.NewReplacer("client_id {$NORTH_ID}", "client_id {$NORTH_ID}\n\t\t\trefresh on",
		"header X-User-Key {user.key}", "header X-User-Key {user.key}\n\t\theader X-Groups {user.groups}").Replace(caddyfile)
	g := parts.GatewayAt(t, port, refreshing, "APP="+parts.Echo(t),
		"NORTH_ISSUER="+north.Issuer, "NORTH_ID="+north.Client, "NORTH_SECRET="+north.Secret,
		"SOUTH_ISSUER="+north.Issuer, "SOUTH_ID="+north.Client, "SOUTH_SECRET="+north.Secret)
	b := parts.Browser(t)
	b.Open(g.URL+"/.identity/login?provider=north&return_to=/x").Fill("username", "alice", "password", "alicepw").
		Want(http.StatusOK, "GET /x", "X-User-Key: north:alice", "X-Groups: admins,staff")
	for round := range 3 {
		group := fmt.Sprintf("round-%d", round)
		north.Move(t, "alice", group)
		parts.Await(t, "the new group", 60*time.Second, func() error {
			var wg sync.WaitGroup
			seen := make([]error, 20)
			for i := range seen {
				wg.Go(func() {
					status, body, err := get(g.URL+fmt.Sprint("/x?", i), b.Jar.Cookies(g.URL))
					switch {
					case err != nil:
						seen[i] = err
					case status != http.StatusOK:
						t.Errorf("round %d: %d\n%s", round, status, body)
					case !strings.Contains(body, "X-Groups: "+group):
						seen[i] = fmt.Errorf("no %s in:\n%s", group, body)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				t.FailNow()
			}
			for _, err := range seen {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// get is one request of its own, beside others; no redirect is followed.
func get(address string, cookies []*http.Cookie) (int, string, error) {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}
