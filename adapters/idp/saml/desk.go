package saml

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/sallyport-gateway/sallyport/flows"
)

// desks are how many messages of this process are read at once: as many as there
// are processors. More would not be read sooner, and each may need 30 MB while
// it is looked at, which whoever likes can make us spend.
var desks = sync.OnceValue(func() chan struct{} { return make(chan struct{}, runtime.GOMAXPROCS(0)) })

// atDesk does the work of reading a message when there is a desk free. Nothing in
// it may wait for the network.
func atDesk(ctx context.Context, work func() error) error {
	select {
	case desks() <- struct{}{}:
	case <-ctx.Done():
		return flows.Refuse(flows.ReasonInternal, fmt.Errorf("waiting to read a message: %w", ctx.Err()))
	}
	defer func() { <-desks() }()
	return work()
}
