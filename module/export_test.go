package module

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// Sessions are the sessions in the store, as another node would reach them.
func (a *App) Sessions() *flowsession.Manager { return a.sessions }

// Cached is how many tickets this node keeps ready.
func (a *App) Cached() int { return a.shared.cache.Len() }

// EndUser revokes all sessions of a person, as the admin API does.
func (a *App) EndUser(ctx context.Context, user flows.UserKey) error {
	_, err := a.endUser(ctx, user)
	return err
}

// ChangedElsewhere is what a store's channel says when another node wrote a card.
func (a *App) ChangedElsewhere(session string) { a.changedElsewhere([]string{"c/" + session}, false) }

// AnotherNode makes what is provisioned until back is called a node of its own:
// it shares the store with this one, and nothing else.
func AnotherNode() (back func()) {
	ours := pool
	pool = caddy.NewUsagePool()
	return func() { pool = ours }
}

// SetBodyPatience shortens how long a body of the gateway's own addresses may take.
func SetBodyPatience(d time.Duration) (back func()) {
	was := bodyPatience.Swap(int64(d))
	return func() { bodyPatience.Store(was) }
}

// SetRenewWait shortens how long a request waits for a renewal.
func SetRenewWait(d time.Duration) (back func()) {
	patience.Store(int64(d))
	return func() { patience.Store(0) }
}

// LetGo ends an app that no server runs, and gives up its store.
func (a *App) LetGo() {
	_ = a.Stop()
	_ = a.Cleanup()
	if s, ok := a.store.(timedStore); ok {
		if c, ok := s.Store.(caddy.CleanerUpper); ok {
			_ = c.Cleanup()
		}
	}
}

// FoldName is how names are compared.
func FoldName(name string) string { return foldName(name) }

// Keepers are the guests that keep something of people.
func (a *App) Keepers() []flows.Keeper { return a.keepers() }

// SetTryPauses shortens the time between tries at what is done beside requests.
func SetTryPauses(pauses ...time.Duration) (back func()) {
	was := tryPauses
	tryPauses = pauses
	return func() { tryPauses = was }
}

// HeldBytes is how much is kept of requests that wait for a login.
func (a *App) HeldBytes() int64 { return a.shared.held.Bytes() }

// LoseHeld is what a restart does to it.
func (a *App) LoseHeld() { a.shared.held = session.NewHeld(Now) }

// NewID and NewPendingID name runs, tokens and events.
func NewID() string { return newID() }

func NewPendingID(now time.Time) string { return newPendingID(now) }

// MoveTwice uses an approved approval up and tries it again: both errors.
func (a *App) MoveTwice(ctx context.Context, session string) (first, second error) {
	ap := &approval{id: newID(), Session: session, State: approved, Sum: []byte("sum"), Expires: Now().Add(approvalFor)}
	if err := a.keepApproval(ctx, ap); err != nil {
		return err, err
	}
	first = a.move(ctx, ap, approved, used)
	return first, a.move(ctx, ap, approved, used)
}

// Handles are what the passkeys of a person know them by.
func (a *App) Handles(ctx context.Context, user flows.UserKey) (all []string) {
	list, _ := a.recordsOf(ctx, user)
	return handlesOf(list)
}

// Knows reports whether something is kept under a handle.
func (a *App) Knows(ctx context.Context, handle string) bool {
	_, _, err := holders{a}.Holder(ctx, handle)
	return err == nil
}

// Vouched is what the passkeys of a person know of them.
func (a *App) Vouched(ctx context.Context, user flows.UserKey) ([]personVouched, error) {
	list, err := a.recordsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	return a.exportVouched(ctx, list)
}

// JudgeStreams judges all that are due, and waits for it.
func (a *App) JudgeStreams() {
	for _, u := range a.shared.cache.Due(Now(), streamEvery) {
		judge(a, u)
	}
	for _, due := range a.shared.clients.Due(Now(), streamEvery) {
		judgeInTime(a, due, Now())
	}
}

// DisabledUnderNewest reports whether the running gateway finds a disabled user by the
// newest of its keys alone.
func DisabledUnderNewest(user flows.UserKey) bool {
	a, err := running()
	if err != nil {
		return false
	}
	k, err := a.keys.ring(context.Background())
	if err != nil {
		return false
	}
	h, err := k.Hashes("disabled", string(user))
	if err != nil {
		return false
	}
	_, err = a.store.Get(context.Background(), "d/"+h[0])
	return err == nil
}

// TellDue tells signals what waits for them, as the sweep does.
func (a *App) TellDue(ctx context.Context) { a.tellDue(ctx) }

// QueueReport keeps a report for a signal.
func (a *App) QueueReport(ctx context.Context, signal string, r flows.Report) {
	a.queueReport(ctx, signal, r)
}

// ReportsWait is how many reports are kept, and ReportsKept how many at most.
func (a *App) ReportsWait(ctx context.Context) int {
	keys, _ := a.store.Members(ctx, reportsIndex, "", 2*reportsKept)
	return len(keys)
}

// SetReportsKept changes how many reports are kept at most.
func SetReportsKept(n int) (back func()) {
	was := reportsKept
	reportsKept = n
	return func() { reportsKept = was }
}
