// Package audit is the trail: what happened, written before what grants takes
// effect, and never in the way of what takes access away (I25).
package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Sink is a guest `identity.audit.*`. Write returns once the entry is as
// durable as the sink promises. It may be called concurrently.
type Sink interface {
	Write(ctx context.Context, e Event) error
}

// Receipt proves that an event was written before its effect. Only a Trail makes one.
type Receipt struct{ id string }

// Valid reports whether a Trail made it.
func (r Receipt) Valid() bool { return r.id != "" }

// ID is the id of the event.
func (r Receipt) ID() string { return r.id }

// Trail writes to all sinks. Each has a queue for what must not wait.
type Trail struct {
	targets []*target
	done    sync.WaitGroup
	patient context.Context // ends when Close gives up waiting
	giveUp  context.CancelFunc
	dropped atomic.Int64
	failed  atomic.Int64
	onError func(error)
	observe func(Event)
	follow  func(Event)
	onDrop  func()

	mu     sync.Mutex // never held across a wait
	closed bool
}

// target is a sink and what waits for it. One that takes nothing holds up no other.
type target struct {
	Sink
	lenient bool // it keeps nobody out
	queue   chan Event
}

// queueLen is how many entries wait for each sink.
const queueLen = 4096

// writeLimit bounds one write, closeLimit all that Close waits for; retryPause is
// between two tries of an entry that waits.
const (
	writeLimit = 5 * time.Second
	closeLimit = 10 * time.Second
	retryPause = time.Second
)

// ErrDown says that no entry could be written, so nothing is granted.
var ErrDown = flows.Refuse(flows.ReasonAuditDown, errors.New("audit trail cannot be written"))

// NewTrail starts a trail; Close ends it. onError hears of failed writes.
func NewTrail(onError func(error), sinks ...Sink) *Trail {
	t := &Trail{onError: onError}
	t.patient, t.giveUp = context.WithCancel(context.Background())
	for _, s := range sinks {
		to := &target{Sink: s, queue: make(chan Event, queueLen)}
		if o, ok := s.(*Optioned); ok {
			to.lenient = o.OnError == Continue
		}
		t.targets = append(t.targets, to)
		t.done.Go(func() { t.drain(to) })
	}
	return t
}

// Observe has noted hear of every event, whether a sink takes it or not, and
// dropped of each that Dropped counts. It is called once, before the trail is
// used, and neither may wait.
func (t *Trail) Observe(noted func(Event), dropped func()) { t.observe, t.onDrop = noted, dropped }

// Follow has fn hear of every event that took effect as far as the trail is
// concerned: written, or noted. It is called once, before the trail is used, and fn
// may not wait.
func (t *Trail) Follow(fn func(Event)) { t.follow = fn }

func (t *Trail) followed(e Event) {
	if t.follow != nil {
		t.follow(e)
	}
}

// Before writes an event and returns the receipt that grants need. Every sink
// must have taken it (I25), but for those that keep nobody out: for them it waits.
func (t *Trail) Before(ctx context.Context, e Event) (Receipt, error) {
	if e.ID == "" {
		return Receipt{}, errors.New("audit event without an id")
	}
	if t.observe != nil {
		t.observe(e)
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	var errs []error
	for _, to := range t.targets {
		err := t.write(ctx, to, e)
		switch {
		case err == nil:
		case to.lenient:
			t.enqueue(to, e)
			if t.onError != nil {
				t.onError(err)
			}
		default:
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrDown, err)
	}
	t.followed(e)
	return Receipt{e.ID}, nil
}

// Note queues an event of something that takes away or refuses; it never
// blocks. A full queue is counted, and so is what a request of an old config
// notes after Close.
func (t *Trail) Note(e Event) {
	if t.observe != nil {
		t.observe(e)
	}
	t.followed(e)
	for _, to := range t.targets {
		t.enqueue(to, e)
	}
}

func (t *Trail) enqueue(to *target, e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.drop()
		return
	}
	select {
	case to.queue <- e:
	default:
		t.drop()
	}
}

// Dropped is how many entries of noted events found the queue of a sink full or the
// trail closed.
func (t *Trail) Dropped() int64 { return t.dropped.Load() }

func (t *Trail) drop() {
	t.dropped.Add(1)
	if t.onDrop != nil {
		t.onDrop()
	}
}

// Failed counts failed writes.
func (t *Trail) Failed() int64 { return t.failed.Load() }

// Close writes what is queued and ends the trail. A sink that hangs is waited
// for ten seconds at most; what it kept from being written is counted as dropped.
func (t *Trail) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		for _, to := range t.targets {
			close(to.queue)
		}
	}
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.done.Wait()
	}()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
	t.giveUp()
}

func (t *Trail) drain(to *target) {
	for e := range to.queue {
		t.persist(to, e)
	}
}

// persist writes an entry that waited. While its sink fails, a full disk perhaps, it is
// tried again and the others wait behind it: their order is that of what happened.
func (t *Trail) persist(to *target, e Event) {
	for tries := 0; t.patient.Err() == nil; tries++ {
		ctx, cancel := context.WithTimeout(t.patient, writeLimit)
		err := t.write(ctx, to, e)
		cancel()
		if err == nil {
			return
		}
		if tries == 0 && t.onError != nil {
			t.onError(err)
		}
		if errors.Is(err, errPanic) {
			return // it would again
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-t.patient.Done():
		}
		pause.Stop()
	}
	t.drop()
}

// errPanic says that a sink has a bug.
var errPanic = errors.New("panicked")

// writeTo turns a sink's panic into an error: nothing is granted, and the queue
// lives on.
func writeTo(ctx context.Context, s Sink, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%T %w: %v", s, errPanic, p)
		}
	}()
	return s.Write(ctx, e)
}

func (t *Trail) write(ctx context.Context, to *target, e Event) error {
	err := writeTo(ctx, to.Sink, e)
	if err != nil {
		t.failed.Add(1)
	}
	return err
}
