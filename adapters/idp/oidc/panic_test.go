package oidc

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// trap panics at the addresses that hold its word, while it is set.
type trap struct {
	next http.RoundTripper
	word atomic.Value
}

func (p *trap) RoundTrip(r *http.Request) (*http.Response, error) {
	if w, _ := p.word.Load().(string); w != "" && strings.Contains(r.URL.Path, w) {
		panic("read something odd")
	}
	return p.next.RoundTrip(r)
}

// A panic over what a provider published is a provider that did not answer: it
// does not end the process, and nobody waits for it for ever (C15).
func TestC15PanicOverADocument(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	odd := &trap{next: r.reg.Client.Transport}
	odd.word.Store("openid-configuration")
	r.p.src.lend(&http.Client{Transport: odd}, r.reg.Now)
	_, _, err := r.p.Begin(t.Context(), start())
	wantRefusal(t, err, flows.ReasonProviderDown)
	if h := r.p.Health(); h == nil || !strings.Contains(h.Error(), "panic") {
		t.Errorf("health: %v", h)
	}
	odd.word.Store("/keys")
	r.reg.Forward(2 * time.Second)
	_, err = r.login(start())
	wantRefusal(t, err, flows.ReasonProviderDown)
	odd.word.Store("")
	r.reg.Forward(time.Minute)
	r.mustLogin()
}
