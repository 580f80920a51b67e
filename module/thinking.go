package module

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// What is only thought through writes nothing, whatever it calls: the store and the keys
// look into the context for who asks (I26).

type thinkingKey struct{}

// thinking marks a context; offline, nothing is read either.
type thinking struct{ offline bool }

func think(ctx context.Context, offline bool) context.Context {
	return context.WithValue(ctx, thinkingKey{}, &thinking{offline})
}

// thinks answers how a context thinks; nil: it acts.
func thinks(ctx context.Context) *thinking {
	t, _ := ctx.Value(thinkingKey{}).(*thinking)
	return t
}

var errThinking = errors.New("nothing is written while a request is only thought through")

// noKey is the answer where a key would have to be made: what no key seals, nobody has.
func noKey() error { return fmt.Errorf("%w: there is no cluster key yet", flows.ErrNotFound) }
