package vault_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// shelf is a store that shows what it holds.
type shelf struct{ *flowstest.Vault }

func (shelf) Watch(context.Context, func([]string, bool)) error { return nil }

// seen notes the names and values that come to a store.
type seen struct {
	shelf
	all map[string][]byte
}

func (s seen) Create(ctx context.Context, key string, val []byte, ttl time.Duration, index ...string) error {
	s.all[key] = val
	return s.shelf.Create(ctx, key, val, ttl, index...)
}

func keys(t *testing.T, secrets ...string) func(context.Context) (*session.Keyring, error) {
	t.Helper()
	var all [][]byte
	for _, s := range secrets {
		all = append(all, []byte(s))
	}
	ring, err := session.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context) (*session.Keyring, error) { return ring, nil }
}

const older, newer = "an older secret of the cluster", "a newer secret of the cluster"

func TestI27TheStoreSeesNeitherNamesNorValues(t *testing.T) {
	t.Parallel()
	store := seen{shelf{flowstest.NewVault(flowstest.NewClock().Now)}, map[string][]byte{}}
	v := &vault.Vault{Space: "factor/totp", Store: store, Keys: keys(t, older)}
	if err := v.Create(t.Context(), "ada@example.org", []byte("a shared secret"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, val := range store.all {
		if strings.Contains(name, "ada") || strings.Contains(name, "totp") || bytes.Contains(val, []byte("shared")) {
			t.Errorf("the store holds %q: %q", name, val)
		}
	}
	other := &vault.Vault{Space: "factor/email", Store: store, Keys: keys(t, older)}
	if _, err := other.Get(t.Context(), "ada@example.org"); !errors.Is(err, flows.ErrNotFound) {
		t.Errorf("another guest reads it: %v", err)
	}
}

func TestB20AnEntryOutlivesItsKey(t *testing.T) {
	t.Parallel()
	ctx, store := t.Context(), shelf{flowstest.NewVault(flowstest.NewClock().Now)}
	was := &vault.Vault{Space: "s", Store: store, Keys: keys(t, older)}
	both := &vault.Vault{Space: "s", Store: store, Keys: keys(t, newer, older)}
	now := &vault.Vault{Space: "s", Store: store, Keys: keys(t, newer)}
	if err := was.Create(ctx, "k", []byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	if err := both.Create(ctx, "k", []byte("again"), 0); !errors.Is(err, flows.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if b, err := now.Get(ctx, "k"); err != nil || string(b) != "kept" {
		t.Fatalf("%q, %v: it was read under both keys and is gone with the older one", b, err)
	}
	if err := both.Remove(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*vault.Vault{was, both, now} {
		if b, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrNotFound) {
			t.Errorf("removed, and found again: %q, %v", b, err)
		}
	}
}

func TestUpdateSeesWhatIsThereAndRemovesAllOfIt(t *testing.T) {
	t.Parallel()
	ctx, store := t.Context(), shelf{flowstest.NewVault(flowstest.NewClock().Now)}
	was := &vault.Vault{Space: "s", Store: store, Keys: keys(t, older)}
	both := &vault.Vault{Space: "s", Store: store, Keys: keys(t, newer, older)}
	if err := was.Create(ctx, "k", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	err := both.Update(ctx, "k", func(old []byte) (flows.Change, error) {
		return flows.Set(append(old, '2'), 0, "list"), nil
	})
	if b, _ := both.Get(ctx, "k"); err != nil || string(b) != "12" {
		t.Fatalf("%q, %v", b, err)
	}
	if names, err := both.Members(ctx, "list", "", 10); err != nil || len(names) != 1 {
		t.Errorf("the index lists %v, %v", names, err)
	}
	if err := both.Update(ctx, "k", func([]byte) (flows.Change, error) { return flows.Remove(), nil }); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*vault.Vault{was, both} {
		if _, err := v.Get(ctx, "k"); !errors.Is(err, flows.ErrNotFound) {
			t.Errorf("removed, and found again: %v", err)
		}
	}
}
