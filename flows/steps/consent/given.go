package consent

import (
	"context"
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
	return c.notes.Change(ctx, x.User.Key, func(all map[string]given) {
		all[c.Document] = given{Version: c.Version, Title: c.Title, At: now, Sum: c.sum}
	}, func(entries, _ int) error {
		if entries > maxDocuments {
			return flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("%s agreed to %d documents", x.User.Key, entries))
		}
		return nil
	})
}

// Keeps names the consents.
func (*Consent) Keeps() string { return "consents" }

// Export answers what a person agreed to, to all documents.
func (c *Consent) Export(ctx context.Context, user flows.UserKey) (list []flows.Kept, err error) {
	all, err := c.notes.Of(ctx, user)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		g := all[name]
		list = append(list, flows.Kept{Name: name, Title: g.Title, Value: "sha256:" + g.Sum, Version: g.Version, At: g.At})
	}
	return list, err
}

// Erase forgets them: the person is asked again. The trail keeps its entries.
func (c *Consent) Erase(ctx context.Context, user flows.UserKey) error {
	return c.notes.Erase(ctx, user)
}
