//go:build real

package quickstart_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/examples/quickstart"
)

// SIGTERM with requests under way cuts none of them, and nothing of the trail
// is lost (C20).
func TestC20GracefulStop(t *testing.T) {
	t.Parallel()
	const busy = 50
	var inside atomic.Int64
	release := make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			inside.Add(1)
			<-release
		}
		_, _ = io.WriteString(w, strings.Repeat("whole ", 1000)+r.Header.Get("Sm_user"))
	}))
	t.Cleanup(app.Close)
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	port := parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	file := strings.Replace(string(quickstart.Caddyfile), "{\n", "{\n\tgrace_period 30s\n", 1)
	g := parts.GatewayAt(t, port, file, "APP="+strings.TrimPrefix(app.URL, "http://"),
		"ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret)
	alice := parts.Browser(t)
	alice.Open(g.URL+"/").Want(http.StatusOK, "username").Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "whole")
	var cookie []string
	for _, c := range alice.Jar.Cookies(g.URL + "/") {
		cookie = append(cookie, c.Name+"="+c.Value)
	}
	var wg sync.WaitGroup
	for range busy {
		wg.Go(func() {
			r, err := http.NewRequest(http.MethodGet, g.URL+"/slow", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Cookie", strings.Join(cookie, "; "))
			res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Errorf("cut off: %v", err)
				return
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(string(b), strings.Repeat("whole ", 1000)) {
				t.Errorf("not whole: %v %s, %d bytes", err, res.Status, len(b))
			}
		})
	}
	parts.Await(t, "all requests are at the application", 20*time.Second, func() error {
		if n := inside.Load(); n != busy {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	denied := alice.Send(browser.Request{URL: g.URL + "/a/%2e%2e/b"}) // the trail's last entry
	denied.Want(http.StatusBadRequest)
	exit := make(chan int, 1)
	go func() { exit <- g.Stop() }()
	parts.Await(t, "no more connections are accepted", 20*time.Second, func() error {
		c, err := net.DialTimeout("tcp", parts.Addr(g.Port), time.Second)
		if err != nil {
			return nil
		}
		c.Close()
		return fmt.Errorf("one was")
	})
	free()
	wg.Wait()
	if code := <-exit; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(g.Logs(), `"bad_path"`) {
		t.Error("the trail's last entry is lost")
	}
}
