package flowstest

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := NewRegistry().Add("entra", "oidc", &flows.ProviderOptions{}).Add("corp", "local", &flows.ProviderOptions{})
	if _, err := r.Provider("entar"); err == nil || !strings.Contains(err.Error(), "no provider is called 'entar'; there are: entra, corp") {
		t.Errorf("got %v", err)
	}
	if p, err := r.Provider("corp"); err != nil || p.Type != "local" || len(r.Providers()) != 2 {
		t.Errorf("got %v %v", p, err)
	}
	r.Forward(time.Hour)
	if got := r.Now(); !got.Equal(Start.Add(time.Hour)) {
		t.Errorf("it is %v", got)
	}
	if r.Vault("a") != r.Vault("a") || r.Vault("a") == r.Vault("b") {
		t.Error("a space is not a space of its own")
	}
}

func TestVault(t *testing.T) {
	t.Parallel()
	clock := NewClock()
	v, ctx := NewVault(clock.Now), t.Context()
	if _, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	var first atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := v.Create(ctx, "k", []byte("v"), time.Minute, "i"); err == nil {
				first.Add(1)
			} else if !errors.Is(err, flows.ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if first.Load() != 1 {
		t.Errorf("%d were first", first.Load())
	}
	if keys, _ := v.Members(ctx, "i", "", 10); len(keys) != 1 {
		t.Errorf("members %v", keys)
	}
	v.SetDown(true)
	if _, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) {
		t.Errorf("down: %v", err)
	}
	v.SetDown(false)
	clock.Advance(time.Minute)
	if _, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	err := v.Update(ctx, "k", func(old []byte) (flows.Change, error) {
		if old != nil {
			t.Errorf("an expired entry is seen: %q", old)
		}
		return flows.Set([]byte("w"), 0), nil
	})
	clock.Advance(1000 * time.Hour)
	if got, _ := v.Get(ctx, "k"); err != nil || string(got) != "w" || v.Writes() != 2 {
		t.Errorf("got %q %v, %d writes", got, err, v.Writes())
	}
	if keys, _ := v.Members(ctx, "i", "", 10); len(keys) != 0 {
		t.Errorf("members %v", keys)
	}
	_ = v.Update(ctx, "k", func([]byte) (flows.Change, error) { return flows.Remove(), nil })
	if _, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}
