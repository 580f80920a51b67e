package form

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// answer is what somebody typed and when. The text is kept, not what it was worth: it
// is judged again each time.
type answer struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// What is kept of one person by all forms together.
const (
	maxAnswers = 64
	maxSize    = 16 << 10
)

// answers are those of a person. Of who is somebody else tomorrow nothing is kept (I04).
func (f *Form) answers(ctx context.Context, u *flows.User) (map[string]answer, error) {
	if u.Transient {
		return nil, nil
	}
	return f.notes.Of(ctx, u.Key)
}

// keep writes the trail, then the answers (I25).
func (f *Form) keep(ctx context.Context, x *flows.Execution, typed map[string]string) error {
	if x.User.Transient {
		return nil
	}
	if x.Env.Trail == nil {
		return errors.New("form: there is no trail")
	}
	names := slices.Sorted(maps.Keys(typed))
	if err := x.Env.Trail(ctx, flows.Deed{Kind: flows.DeedAnswered, Item: strings.Join(names, " "), Source: f.Source}); err != nil {
		return err
	}
	now := f.now().Truncate(time.Second)
	return f.notes.Change(ctx, x.User.Key, func(known map[string]answer) {
		for name, text := range typed {
			known[name] = answer{text, now}
		}
	}, func(entries, size int) error {
		if entries > maxAnswers || size > maxSize {
			return flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("%s has %d answers of %d bytes; at most %d of %d are kept", x.User.Key, entries, size, maxAnswers, maxSize))
		}
		return nil
	})
}

// Keeps names the answers.
func (*Form) Keeps() string { return "answers" }

// Export answers all answers of a person, whatever form asked for them.
func (f *Form) Export(ctx context.Context, user flows.UserKey) (list []flows.Kept, err error) {
	known, err := f.answers(ctx, &flows.User{Key: user})
	for _, name := range slices.Sorted(maps.Keys(known)) {
		a := known[name]
		k := flows.Kept{Name: name, Value: a.Text, At: a.At}
		for _, d := range f.Fields {
			if d.Attribute == name {
				k.Title = d.Label
			}
		}
		list = append(list, k)
	}
	return list, err
}

// Erase forgets them.
func (f *Form) Erase(ctx context.Context, user flows.UserKey) error {
	return f.notes.Erase(ctx, user)
}
