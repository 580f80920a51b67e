package oidc

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// far is a provider that is spoken to without a network: it does not answer before
// upFrom.
type far struct {
	upFrom time.Time

	mu    sync.Mutex
	asked int
}

const farDocument = `{"issuer": "https://op.example", "authorization_endpoint": "https://op.example/authorize",
	"token_endpoint": "https://op.example/token", "jwks_uri": "https://op.example/keys"}`

// RoundTrip implements http.RoundTripper.
func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r}
	text := `{"keys": []}`
	if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		f.asked++
		text = farDocument
	}
	if time.Now().Before(f.upFrom) {
		answer.StatusCode = http.StatusBadGateway
	}
	answer.Body = io.NopCloser(strings.NewReader(text))
	return answer, nil
}

// times is how often it was asked for its document.
func (f *far) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// waiting is a guest of that provider that keeps warm as in a gateway that starts now.
func waiting(t *testing.T, f *far) *Provider {
	t.Helper()
	p := &Provider{Issuer: "https://op.example", ClientID: t.Name(), ClientSecret: "{env.OIDC_TEST_SECRET}"}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(func() {
		cancel()
		if err := p.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	reg := flowstest.NewRegistry()
	reg.Clock, reg.Client = time.Now, &http.Client{Transport: f}
	if err := p.Bind(reg); err != nil {
		t.Fatal(err)
	}
	go p.Warm(p.done)
	synctest.Wait()
	return p
}

// TestB19LoginsWaitForTheNextTry: a login within the second after a failed start
// waits for the provider, however many there are by one question.
func TestB19LoginsWaitForTheNextTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &far{upFrom: time.Now().Add(500 * time.Millisecond)}
		p := waiting(t, f)
		time.Sleep(100 * time.Millisecond)
		at := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, _, err := p.Begin(t.Context(), start()); err != nil || time.Since(at) != 900*time.Millisecond {
					t.Errorf("%v after %v", err, time.Since(at))
				}
			})
		}
		wg.Wait()
		if n := f.times(); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
	})
}

// TestB19DownForLongAnswersAtOnce: one that does not come makes a login wait for five
// seconds, and later none any more; who goes away goes at once.
func TestB19DownForLongAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &far{upFrom: time.Now().Add(time.Hour)}
		p := waiting(t, f)
		takes := func(ctx context.Context, want time.Duration) {
			t.Helper()
			at := time.Now()
			_, _, err := p.Begin(ctx, start())
			wantRefusal(t, err, flows.ReasonProviderDown)
			if took := time.Since(at); took != want {
				t.Errorf("refused after %v, want %v", took, want)
			}
		}
		time.Sleep(200 * time.Millisecond)
		gone, leave := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer leave()
		takes(gone, 300*time.Millisecond)
		takes(t.Context(), 5*time.Second)
		time.Sleep(5 * time.Second)
		for range 5 {
			takes(t.Context(), 0)
			time.Sleep(300 * time.Millisecond)
		}
		// The background at 0, 1, 3 and 7 s, the logins at 1 to 5, 10.5 and 11.7 s.
		if n := f.times(); n > 11 {
			t.Errorf("asked %d times, want 11 at most", n)
		}
		time.Sleep(time.Hour)
		if _, _, err := p.Begin(t.Context(), start()); err != nil {
			t.Error(err)
		}
	})
}
