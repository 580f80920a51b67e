package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Notes are what a Keeper keeps of people in its vault: one entry a person, with
// values by name.
type Notes[T any] struct {
	Vault Vault
	// What they are, for errors: "consents".
	What string
}

// Of answers those of a person; none is no error.
func (n Notes[T]) Of(ctx context.Context, user UserKey) (map[string]T, error) {
	b, err := n.Vault.Get(ctx, string(user))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s of %s: %w", n.What, user, err)
	}
	return n.read(b)
}

// Change has fn change them in one atomic step, if fit takes how many there are then and
// in how many bytes. fn is pure and may run again; an error keeps them as they are.
func (n Notes[T]) Change(ctx context.Context, user UserKey, fn func(map[string]T), fit func(entries, size int) error) error {
	return n.Vault.Update(ctx, string(user), func(old []byte) (Change, error) {
		all, err := n.read(old)
		if err != nil {
			return Keep(), err
		}
		fn(all)
		b, err := json.Marshal(all)
		if err != nil {
			return Keep(), err
		}
		if err := fit(len(all), len(b)); err != nil {
			return Keep(), err
		}
		return Set(b, KeptFor), nil
	})
}

// Erase forgets them.
func (n Notes[T]) Erase(ctx context.Context, user UserKey) error {
	return n.Vault.Update(ctx, string(user), func(old []byte) (Change, error) {
		if old == nil {
			return Keep(), nil
		}
		return Remove(), nil
	})
}

func (n Notes[T]) read(b []byte) (map[string]T, error) {
	all := map[string]T{}
	if b == nil {
		return all, nil
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("reading %s: %w", n.What, err)
	}
	return all, nil
}
