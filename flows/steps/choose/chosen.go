package choose

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// chosen is one choice of a person.
type chosen struct {
	Option   string    `json:"option"`
	Question string    `json:"question,omitempty"`
	At       time.Time `json:"at"`
}

// maxChosen is what is kept of one person; the oldest choice goes first.
const maxChosen = 64

// id is that of the choice: the same in every flow, another one when it changes.
func (c *Choose) id() string {
	names := []string{c.Question}
	for _, o := range c.Options {
		names = append(names, o.Name)
	}
	b, _ := json.Marshal(names) // strings
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// chosen is the option that is remembered for a person; -1 for none. Of who is
// somebody else tomorrow nothing is kept (I04).
func (c *Choose) chosen(ctx context.Context, u *flows.User) (int, error) {
	if c.Remember == 0 || u == nil || u.Transient {
		return -1, nil
	}
	all, err := c.notes.Of(ctx, u.Key)
	if err != nil {
		return -1, err
	}
	was := all[c.id()]
	if !c.now().Before(was.At.Add(time.Duration(c.Remember))) {
		return -1, nil
	}
	return c.index(was.Option), nil
}

// keep remembers a choice. It grants nothing that the person could not choose anew.
func (c *Choose) keep(ctx context.Context, u *flows.User, option string) error {
	if c.Remember == 0 || u == nil || u.Transient {
		return nil
	}
	now := c.now().Truncate(time.Second)
	return c.notes.Change(ctx, u.Key, func(all map[string]chosen) {
		all[c.id()] = chosen{Option: option, Question: c.Question, At: now}
		for len(all) > maxChosen {
			delete(all, slices.MinFunc(slices.Collect(maps.Keys(all)), func(a, b string) int { return all[a].At.Compare(all[b].At) }))
		}
	}, func(int, int) error { return nil })
}

// Keeps names the choices.
func (*Choose) Keeps() string { return "choices" }

// Export answers the choices of a person.
func (c *Choose) Export(ctx context.Context, user flows.UserKey) (list []flows.Kept, err error) {
	all, err := c.notes.Of(ctx, user)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		list = append(list, flows.Kept{Name: id, Title: all[id].Question, Value: all[id].Option, At: all[id].At})
	}
	return list, err
}

// Erase forgets them: the person is asked again.
func (c *Choose) Erase(ctx context.Context, user flows.UserKey) error {
	return c.notes.Erase(ctx, user)
}
