package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// given is the newest consent of a person to a document.
type given struct {
	Version string    `json:"version"`
	Title   string    `json:"title,omitempty"`
	At      time.Time `json:"at"`
	// Sum is the SHA-256 of what was shown.
	Sum string `json:"sum"`
}

// maxDocuments bounds what is kept of one person.
const maxDocuments = 64

func (c *Consent) given(ctx context.Context, user flows.UserKey) (map[string]given, error) {
	b, err := c.vault.Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the consents of %s: %w", user, err)
	}
	return read(b)
}

func read(b []byte) (map[string]given, error) {
	all := map[string]given{}
	if b == nil {
		return all, nil
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("reading consents: %w", err)
	}
	return all, nil
}

// keep writes the trail, then the consent (I25).
func (c *Consent) keep(ctx context.Context, x *flows.Execution) error {
	if x.Env.Trail == nil {
		return errors.New("consent: there is no trail")
	}
	item := fmt.Sprintf("%s %s sha256:%s", c.Document, c.Version, c.sum)
	if err := x.Env.Trail(ctx, flows.Deed{Kind: flows.DeedConsented, Item: item, Source: c.Source}); err != nil {
		return err
	}
	if x.User.Transient {
		return nil
	}
	now := c.now().Truncate(time.Second)
	return c.vault.Update(ctx, string(x.User.Key), func(old []byte) (flows.Change, error) {
		all, err := read(old)
		if err != nil {
			return flows.Keep(), err
		}
		all[c.Document] = given{Version: c.Version, Title: c.Title, At: now, Sum: c.sum}
		if len(all) > maxDocuments {
			return flows.Keep(), flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("%s agreed to %d documents", x.User.Key, len(all)))
		}
		b, err := json.Marshal(all)
		return flows.Set(b, flows.KeptFor), err
	})
}

// Keeps names the consents.
func (*Consent) Keeps() string { return "consents" }

// Export answers what a person agreed to, to all documents.
func (c *Consent) Export(ctx context.Context, user flows.UserKey) (list []flows.Kept, err error) {
	all, err := c.given(ctx, user)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		g := all[name]
		list = append(list, flows.Kept{Name: name, Title: g.Title, Value: "sha256:" + g.Sum, Version: g.Version, At: g.At})
	}
	return list, err
}

// Erase forgets them: the person is asked again. The trail keeps its entries.
func (c *Consent) Erase(ctx context.Context, user flows.UserKey) error {
	return c.vault.Update(ctx, string(user), func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
}
