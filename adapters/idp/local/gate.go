package local

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/sallyport-gateway/sallyport/flows"
)

// hashing bounds what all local providers of the process hash at a time, across
// reloads too: hashes are dear by design, and a flood of guesses must leave the
// cores and the memory to those who are signed in.
var hashing = newGate(runtime.GOMAXPROCS(0), 64)

var errBusy = errors.New("too many passwords are being checked")

// gate lets a few in at a time, lets some wait and turns the others away.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	longest int64
}

func newGate(slots, waiting int) *gate {
	return &gate{slots: make(chan struct{}, slots), longest: int64(waiting)}
}

// do runs fn, or answers an error that wraps flows.ErrUnavailable without running it.
func (g *gate) do(ctx context.Context, fn func()) error {
	if err := g.enter(ctx); err != nil {
		return fmt.Errorf("%w: %w", flows.ErrUnavailable, err)
	}
	defer func() { <-g.slots }()
	fn()
	return nil
}

func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.longest {
		return errBusy
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
