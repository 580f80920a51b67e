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

// Kind names an event.
type Kind string

// The kinds of event of this release.
const (
	Login          Kind = "login"
	LoginDenied    Kind = "login_denied"
	Logout         Kind = "logout"
	SessionEnded   Kind = "session_ended"
	SessionChanged Kind = "session_changed"
	HandedOver     Kind = "session_handed_over"
	Denied         Kind = "denied"
	Admin          Kind = "admin"
	// SteppedUp: somebody who is signed in proved again who they are, perhaps for one
	// request; ApprovalUsed: that request was sent on.
	SteppedUp    Kind = "step_up"
	ApprovalUsed Kind = "approval_used"
	// ClientAdmitted: a program showed a credential, and the flow let it through.
	ClientAdmitted Kind = "client_admitted"
	FactorAdded    Kind = "factor_added"
	ProviderDown   Kind = "provider_down"
	ProviderUp     Kind = "provider_up"
	DrillBegun     Kind = "drill_begun"
	FactorRenamed  Kind = "factor_renamed"
	FactorRemoved  Kind = "factor_removed"
	FactorsReset   Kind = "factors_reset"
	DeviceTrusted  Kind = "device_trusted"
	AnswersKept    Kind = Kind(flows.DeedAnswered)
	AccountMade    Kind = Kind(flows.DeedRegistered)
	ConsentGiven   Kind = Kind(flows.DeedConsented)
	// DeviceForgotten is the end of a device's trust by its person's wish.
	DeviceForgotten Kind = "device_forgotten"
	DataExported    Kind = "data_exported"
	AccountErased   Kind = "account_erased"
	// UserDisabled: an operator keeps somebody out; UserEnabled: and lets them in again.
	UserDisabled Kind = "user_disabled"
	UserEnabled  Kind = "user_enabled"
)

// Event is one entry. It holds no secrets: no codes, tokens, passwords, tickets.
type Event struct {
	// ID is what a person sees on an error page; it finds this entry.
	ID       string        `json:"id"`
	Time     time.Time     `json:"time"`
	Kind     Kind          `json:"kind"`
	User     flows.UserKey `json:"user,omitempty"`
	Name     string        `json:"name,omitempty"`
	Provider string        `json:"provider,omitempty"`
	Flow     string        `json:"flow,omitempty"`
	// Step is the kind of the flow's step that ended a login.
	Step string `json:"step,omitempty"`
	// Factor is the kind of a factor that was added or removed.
	Factor string `json:"factor,omitempty"`
	// Item is what a step kept or did: names of attributes, a document and its version.
	Item string `json:"item,omitempty"`
	// Session is the public id.
	Session string       `json:"session,omitempty"`
	Reason  flows.Reason `json:"reason,omitempty"`
	// Rule is the file and line that decided.
	Rule   string   `json:"rule,omitempty"`
	Text   string   `json:"text,omitempty"`
	Method string   `json:"method,omitempty"`
	Host   string   `json:"host,omitempty"`
	Path   string   `json:"path,omitempty"`
	IP     string   `json:"ip,omitempty"`
	AMR    []string `json:"amr,omitempty"`
	ACR    string   `json:"acr,omitempty"`
	// Approval names what was approved; Show is what the person read of it.
	Approval string      `json:"approval,omitempty"`
	Show     []flows.Row `json:"show,omitempty"`
	// Fallback are the providers that were down, of a login that a fallback stood in for.
	Fallback []string `json:"fallback,omitempty"`
	// Drill is the id of the drill it belongs to.
	Drill string `json:"drill,omitempty"`
	// Detail is the operator's error text, for denials.
	Detail string `json:"detail,omitempty"`
	// Person is who it is about as the flow knows them, where that is at hand; it is
	// not written.
	Person *flows.User `json:"-"`
}

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

// Trail writes to all sinks. Its queue carries what must not wait.
type Trail struct {
	sinks   []Sink
	queue   chan Event
	done    chan struct{}
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

// writeLimit bounds one write, closeLimit all that Close waits for.
const (
	writeLimit = 5 * time.Second
	closeLimit = 10 * time.Second
)

// ErrDown says that no entry could be written, so nothing is granted.
var ErrDown = flows.Refuse(flows.ReasonAuditDown, errors.New("audit trail cannot be written"))

// NewTrail starts a trail; Close ends it. onError hears of failed writes.
func NewTrail(onError func(error), sinks ...Sink) *Trail {
	t := &Trail{sinks: sinks, queue: make(chan Event, 4096), done: make(chan struct{}), onError: onError}
	t.patient, t.giveUp = context.WithCancel(context.Background())
	go t.drain()
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
// must have taken it (I25).
func (t *Trail) Before(ctx context.Context, e Event) (Receipt, error) {
	if e.ID == "" {
		return Receipt{}, errors.New("audit event without an id")
	}
	if t.observe != nil {
		t.observe(e)
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if err := t.write(ctx, e); err != nil {
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		t.drop()
		return
	}
	select {
	case t.queue <- e:
	default:
		t.drop()
	}
}

// Dropped is how many noted events found the queue full or the trail closed.
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
		close(t.queue)
	}
	t.mu.Unlock()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case <-t.done:
	case <-limit.C:
	}
	t.giveUp()
}

func (t *Trail) drain() {
	defer close(t.done)
	for e := range t.queue {
		if t.patient.Err() != nil {
			t.drop()
			continue
		}
		ctx, cancel := context.WithTimeout(t.patient, writeLimit)
		if err := t.write(ctx, e); err != nil && t.onError != nil {
			t.onError(err)
		}
		cancel()
	}
}

// writeTo turns a sink's panic into an error: nothing is granted, and the queue
// lives on.
func writeTo(ctx context.Context, s Sink, e Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%T panicked: %v", s, p)
		}
	}()
	return s.Write(ctx, e)
}

func (t *Trail) write(ctx context.Context, e Event) error {
	var errs []error
	for _, s := range t.sinks {
		if err := writeTo(ctx, s, e); err != nil {
			t.failed.Add(1)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
