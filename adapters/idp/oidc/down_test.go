package oidc

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// flood sends tokens signed by keys nobody published.
func (r *rig) flood(n int) (refused int) {
	for range n {
		if _, err := r.p.VerifyLogout(r.t.Context(), r.op.Logout("u-alice", "", "unknown-kid")); err != nil {
			refused++
		}
	}
	return refused
}

// TestO5KeyFlood: tokens with unknown keys, which anybody can send to the
// back-channel endpoint, do not become fetches; logins work all the while.
func TestO5KeyFlood(t *testing.T) {
	t.Parallel()
	t.Run("jwks-refresh-flood", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.mustLogin()
		before := r.op.Counts().Keys
		if got := r.flood(60); got != 60 {
			t.Errorf("%d of 60 were refused", got)
		}
		if n := r.op.Counts().Keys - before; n != 1 {
			t.Errorf("%d fetches for unknown keys, want 1", n)
		}
		if n := r.op.Counts().Keys; n > 5 {
			t.Errorf("%d fetches in a minute", n)
		}
		r.mustLogin()
	})
	t.Run("jwks-refresh-flood-while-down", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.op.SetKeysDown(true)
		if _, _, err := r.p.Begin(t.Context(), start()); err != nil {
			t.Fatal(err)
		}
		for range 60 { // one minute: each second three tokens
			if got := r.flood(3); got != 3 {
				t.Fatal("a token was believed without keys")
			}
			r.reg.Forward(time.Second)
		}
		if n := r.op.Counts().Keys; n > 5 {
			t.Errorf("%d fetches in a minute, want at most 5", n)
		}
		r.op.SetKeysDown(false)
		r.reg.Forward(15 * time.Second)
		r.mustLogin()
	})
	t.Run("jwks-refresh-flood-parallel", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, nil)
		r.mustLogin()
		before := r.op.Counts().Keys
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.flood(2) })
		}
		wg.Wait()
		if n := r.op.Counts().Keys - before; n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestB19UnknownKidOneFetchAMinute(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	before := r.op.Counts().Keys
	for range 180 {
		r.flood(1)
		r.reg.Forward(time.Second)
	}
	if n := r.op.Counts().Keys - before; n != 3 {
		t.Errorf("%d fetches in three minutes, want 3", n)
	}
}

// TestB19FloodDelaysNoRotation: what anybody sends to the back channel takes nothing
// from the logins, whose tokens come from the provider itself.
func TestB19FloodDelaysNoRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	r.flood(3)
	r.op.SetKeys(oidctest.NewKey("ES256"))
	before := r.op.Counts().Keys
	r.mustLogin()
	r.op.SetMode("unknown-kid")
	for range 20 { // nor does a provider gone wrong become a flood
		if _, err := r.login(start()); err == nil {
			t.Fatal("accepted")
		}
	}
	if n := r.op.Counts().Keys - before; n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestB19KeyRotation: rotation, also right before signing and back again, fails no login.
func TestB19KeyRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	old := r.op.Keys()
	before := r.op.Counts().Keys
	r.op.SetKeys(oidctest.NewKey("ES256"))
	r.mustLogin()
	r.op.SetKeys(old...)
	r.mustLogin()
	if n := r.op.Counts().Keys - before; n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	r.op.SetKeys(oidctest.NewKey("ES256"))
	r.reg.Forward(2 * time.Hour)
	r.mustLogin()
	r.op.SetKeys(old...) // republished hours later: fetched anew
	r.reg.Forward(time.Hour)
	r.mustLogin()
}

// TestB19ReplacedKeysDie: a key the provider took away is good for five minutes
// at most once that is known.
func TestB19ReplacedKeysDie(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	stolen := r.op.Keys()[0]
	fresh := oidctest.NewKey("ES256")
	r.op.SetKeys(fresh)
	r.mustLogin()
	r.reg.Forward(5*time.Minute + time.Second)
	r.op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) {
		tok.Key, tok.Header["alg"], tok.Header["kid"] = stolen, stolen.Alg, stolen.ID
	}})
	_, err := r.login(start())
	wantRefusal(t, err, flows.ReasonInvalidAnswer)
}

// TestB19ReplacedKeysNeedAName: a token that does not name its key is not tried
// against keys that were replaced.
func TestB19ReplacedKeysNeedAName(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	old := newOPKey("ES256", true)
	r.op.SetKeys(old)
	r.mustLogin()
	r.op.SetKeys(newOPKey("ES256", true))
	r.mustLogin()
	r.op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) { tok.Key = old }})
	_, err := r.login(start())
	wantRefusal(t, err, flows.ReasonInvalidAnswer)
}

// TestB19KeysEndpointDies: logins go on with the keys at hand for hours, not for ever.
func TestB19KeysEndpointDies(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	r.op.SetKeysDown(true)
	for range 6 {
		r.reg.Forward(time.Hour)
		r.mustLogin()
	}
	r.reg.Forward(20 * time.Hour)
	_, err := r.login(start())
	wantRefusal(t, err, flows.ReasonProviderDown)
}

// TestB19DownAtStart: loading needs no provider, logins are refused, and the first
// one after its return works.
func TestB19DownAtStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil) // Provision, Validate, Bind: nothing was asked
	if n := r.op.Counts(); n != (oidctest.Counts{}) {
		t.Errorf("asked while loading: %+v", n)
	}
	r.op.SetDown(true)
	for range 3 {
		began := time.Now()
		_, _, err := r.p.Begin(t.Context(), start())
		wantRefusal(t, err, flows.ReasonProviderDown)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("refused after %v", took)
		}
	}
	if r.p.Health() == nil {
		t.Error("healthy while down")
	}
	r.op.SetDown(false)
	r.reg.Forward(2 * time.Second)
	r.mustLogin()
	if err := r.p.Health(); err != nil {
		t.Errorf("after its return: %v", err)
	}
}

// TestB19LastGoodMetadata: the provider goes away; what was learnt stays usable
// and survives a reload.
func TestB19LastGoodMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	r.op.SetDown(true)
	r.reg.Forward(3 * time.Hour)
	to, _ := r.begin(start())
	if !strings.HasPrefix(to, r.op.Issuer+"/authorize?") {
		t.Errorf("sent to %q", to)
	}
	old := r.p
	asked := r.op.Counts().Discovery
	r.p = r.guest(nil)
	if err := old.Cleanup(); err != nil {
		t.Fatal(err)
	}
	r.begin(start())
	r.op.SetDown(false)
	r.mustLogin()
	if n := r.op.Counts().Discovery - asked; n > 1 {
		t.Errorf("%d discoveries after the reload", n)
	}
}

// TestB19BadDocumentKeepsLastGood: a document that became wrong replaces nothing.
func TestB19BadDocumentKeepsLastGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.mustLogin()
	r.reg.Forward(2 * time.Second)
	r.op.SetMode("discovery-issuer-mismatch")
	if err := r.p.src.discover(t.Context()); err == nil {
		t.Fatal("a wrong issuer was believed")
	}
	if r.p.Health() == nil {
		t.Error("healthy")
	}
	r.mustLogin()
}

// TestB19Backoff: 1 s to 60 s, doubling; an hour after a success.
func TestB19Backoff(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.op.SetDown(true)
	var waits []time.Duration
	wait := func(_ context.Context, d time.Duration, _ <-chan struct{}) bool {
		waits = append(waits, d)
		r.reg.Forward(d)
		if len(waits) == 8 {
			r.op.SetDown(false)
		}
		return len(waits) < 10
	}
	r.p.keepFresh(t.Context(), wait)
	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 3600, 3600}
	for i, w := range want {
		if waits[i] != w*time.Second {
			t.Fatalf("waits = %v, want %v seconds", waits, want)
		}
	}
	if c := r.op.Counts(); c.Discovery != 2 || c.Keys == 0 {
		t.Errorf("asked %+v", c)
	}
}

// TestB19WarmEnds: the loop ends with its context and with the configuration.
func TestB19WarmEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.p.Warm(ctx); close(done) }()
	cancel()
	<-done
	done = make(chan struct{})
	go func() { r.p.Warm(context.Background()); close(done) }()
	r.p.stop()
	<-done
}

// TestB19OneDownOtherUp: a dead provider does not disturb another.
func TestB19OneDownOtherUp(t *testing.T) {
	t.Parallel()
	dead, alive := newRig(t, nil), newRig(t, nil)
	dead.op.SetDown(true)
	_, _, err := dead.p.Begin(t.Context(), start())
	wantRefusal(t, err, flows.ReasonProviderDown)
	alive.mustLogin()
}

// TestB19ManyWaitingLogins: a hundred logins at a missing document are one fetch.
func TestB19ManyWaitingLogins(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, _, err := r.p.Begin(t.Context(), start()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.op.Counts().Discovery; n != 1 {
		t.Errorf("%d discoveries", n)
	}
}

// TestC3SlowAndHuge: an answer that is slow or endless costs a bounded time and
// little memory, and is the provider's fault.
func TestC3SlowAndHuge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode string
		want flows.Reason
	}{
		{"slow-discovery", flows.ReasonProviderDown},
		{"huge-discovery", flows.ReasonProviderDown},
		{"slow-keys", flows.ReasonProviderDown},
		{"huge-keys", flows.ReasonProviderDown},
		{"slow-token", flows.ReasonProviderDown},
		{"huge-token", flows.ReasonInvalidAnswer},
		{"slow-userinfo", flows.ReasonProviderDown},
		{"huge-userinfo", flows.ReasonProviderDown},
		{"token-500", flows.ReasonProviderDown},
		{"token-redirect", flows.ReasonProviderDown},
		{"token-html", flows.ReasonInvalidAnswer},
		{"token-error-200", flows.ReasonInvalidAnswer},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *Provider) { p.UserInfo = &yes })
			if strings.HasPrefix(tc.mode, "slow") { // the others must not fail because the machine is slow
				r.reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}, Timeout: 300 * time.Millisecond})
				if err := r.p.Bind(r.reg); err != nil {
					t.Fatal(err)
				}
			}
			r.op.SetMode(tc.mode)
			began := time.Now()
			out, private, err := r.p.Begin(t.Context(), start())
			if err == nil {
				_, err = r.p.Finish(t.Context(), r.visit(flowstest.Look(out).URL), private)
			}
			wantRefusal(t, err, tc.want)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			if strings.Contains(err.Error(), "code=abc") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}
