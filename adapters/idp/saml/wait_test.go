package saml

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// far is where metadata comes from without a network: not before upFrom.
type far struct {
	upFrom time.Time
	text   string

	mu    sync.Mutex
	asked int
}

// RoundTrip implements http.RoundTripper.
func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f.text)), Request: r}
	if time.Now().Before(f.upFrom) {
		answer.StatusCode = http.StatusBadGateway
	}
	return answer, nil
}

// times is how often it was asked.
func (f *far) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// TestB19LoginsWaitForMetadata: logins within the second after a failed start wait
// for the metadata by one question, five seconds at most, and not at all when they
// are long known not to be had.
func TestB19LoginsWaitForMetadata(t *testing.T) {
	t.Parallel()
	doc := description{}.String()
	for _, tc := range []struct {
		name string
		// comes is when the metadata can be had, login when the logins come.
		comes, login, wait time.Duration
		asked              int // at most: the background and the logins may ask at the same instant
		want               flows.Reason
	}{
		{"it comes", 500 * time.Millisecond, 100 * time.Millisecond, 900 * time.Millisecond, 2, ""},
		{"it does not come", time.Hour, 100 * time.Millisecond, patience.Login, 8, flows.ReasonProviderDown},
		{"it is long down", time.Hour, 15100 * time.Millisecond, 0, 5, flows.ReasonProviderDown}, // asked at 0, 1, 3, 7, 15 s
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &far{upFrom: time.Now().Add(tc.comes), text: doc}
				s := &SAML{Metadata: "https://idp.example/metadata", EntityID: "urn:" + t.Name()}
				provision(t, s)
				reg := flowstest.NewRegistry()
				reg.Clock, reg.Client = time.Now, &http.Client{Transport: f}
				if err := s.Bind(reg); err != nil {
					t.Fatal(err)
				}
				s.pause = patience.Pause
				s.warming.Store(false)
				go s.Warm(s.done)
				time.Sleep(tc.login)
				at := time.Now()
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						_, err := s.peer(t.Context())
						if got := flows.ReasonOf(err); err == nil && tc.want != "" || err != nil && got != tc.want || time.Since(at) != tc.wait {
							t.Errorf("%v after %v", err, time.Since(at))
						}
					})
				}
				wg.Wait()
				if n := f.times(); n > tc.asked {
					t.Errorf("asked %d times, want at most %d", n, tc.asked)
				}
			})
		})
	}
}
