package module_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// A config that is refused late, with another store than the running one,
// leaves the running one's sessions alone: its streams still end with them.
func TestB18RefusedConfigWithAnotherStoreTouchesNothing(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	stay, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	g.app.set(func(head string) string {
		if strings.HasPrefix(head, "GET /stream") {
			close(stay)
			<-release
		}
		return ""
	})
	req, err := http.NewRequest(http.MethodGet, g.url("/stream"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", c.Name+"="+c.Value)
	ended := make(chan error, 1)
	go func() {
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err == nil && res.StatusCode == http.StatusOK {
				err = fmt.Errorf("answered %s", res.Status)
			}
		}
		ended <- err
	}()
	<-stay
	if err := g.load(people(t)+flakyLine, "protect nosuch\nreverse_proxy {APP}"); err == nil {
		t.Fatal("a broken config was loaded")
	}
	p, err := b.Navigate(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: &browser.Page{Browser: b, URL: g.url("/a")}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, http.StatusOK)
	select {
	case err := <-ended:
		if err != nil && strings.HasPrefix(err.Error(), "answered") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream outlives its session")
	}
	want(t, g.get("/a", c.Name+"="+c.Value), http.StatusSeeOther)
}
