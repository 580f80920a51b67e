//go:build real

package quickstart_test

import (
	"net/http"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// Whoever reads "signed out" is: the end is on disk before it is answered, so
// that a process killed right then does not bring the session back.
func TestB18LogoutSurvivesKill(t *testing.T) {
	t.Parallel()
	g, _ := start(t)
	b := parts.Browser(t)
	b.Open(g.URL+"/").Want(http.StatusOK).Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "Sm_user: alice")
	thief := parts.Browser(t)
	thief.Jar = b.Jar.Clone()
	thief.Fetch(g.URL+"/").Want(http.StatusOK, "Sm_user: alice")
	b.Open(g.URL + "/").Click("/.identity/logout") // leads to the provider: our own part is done
	g.Kill9()
	g.Start()
	thief.Fetch(g.URL+"/").Want(http.StatusUnauthorized, "login_required")
}
