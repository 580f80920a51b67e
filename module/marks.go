package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// unused refuses what has a mark that was consumed before. It consumes nothing:
// what is unused now may be used a moment later.
func (v *visit) unused(marks []flows.Mark) error {
	for _, m := range marks {
		names, err := v.markNames(v.r.Context(), m)
		if err != nil {
			return err
		}
		for _, h := range names {
			_, err := v.app.store.Get(v.r.Context(), "m/"+h)
			switch {
			case err == nil:
				return usedBefore(m)
			case !errors.Is(err, flows.ErrNotFound):
				return err
			}
		}
	}
	return nil
}

func usedBefore(m flows.Mark) error {
	return flows.Refuse(flows.ReasonReplayed, fmt.Errorf("%s was used before", m.Space))
}

// markNames are a mark's names under every key of the ring.
func (v *visit) markNames(ctx context.Context, m flows.Mark) ([]string, error) {
	k, err := v.app.keys.ring(ctx)
	if err != nil {
		return nil, err
	}
	names, err := k.Hashes("mark", m.Space+"\x00"+m.ID)
	slices.Sort(names)
	return names, err
}

// consumeMark makes a mark under every key of the ring: while keys are rotated,
// any two nodes that read each other's cookies share one, and one of them loses (I09, B20).
func (v *visit) consumeMark(ctx context.Context, m flows.Mark) error {
	names, err := v.markNames(ctx, m)
	if err != nil {
		return err
	}
	for _, h := range names {
		err = v.app.store.Create(ctx, "m/"+h, []byte{1}, max(m.Until.Sub(Now()), 0)+time.Minute)
		if errors.Is(err, flows.ErrExists) {
			return usedBefore(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// consume makes the marks of a finished run, and that of the pending login
// itself. Who comes second is refused (I09).
func (v *visit) consume(ctx context.Context, id string, x *flows.Execution) error {
	marks := append([]flows.Mark{{Space: "pending", ID: id, Until: x.Expires}}, x.Marks...)
	for _, m := range marks {
		if err := v.consumeMark(ctx, m); err != nil {
			return err
		}
	}
	return nil
}
