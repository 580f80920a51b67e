package flows

import (
	"context"
	"errors"
)

// Attributes are what a directory knows of somebody, by name: string, bool,
// float64, []any or map[string]any.
type Attributes map[string]any

// Directory is a guest `identity.directories.*`: where more is known of people.
type Directory interface {
	// Find answers what is known of the one whose attribute by has a value. The value
	// is one and nothing else, whatever is in it; the answer is the caller's own.
	//
	// ErrNotFound says that there is nobody, ErrAmbiguous that there are several. What
	// could not be asked wraps ErrUnavailable, and what is known in part only is an
	// error, too: a part is never taken for the whole (B24).
	Find(ctx context.Context, by, value string) (Attributes, error)
}

// ErrAmbiguous: a directory knows several who could be meant, so it means nobody.
var ErrAmbiguous = errors.New("ambiguous")

// Perhaps is a Step that may set names, or may not: what reads one of them must
// test it by has() (I22).
type Perhaps interface{ MayProduce() []string }
