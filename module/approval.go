package module

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// An approval is one entry of the store: asked, approved, used, each once and in
// this order (I20). It belongs to the session that asked and to one request.

// approvalFor is how long a person has from being asked to the request's being sent.
const approvalFor = 10 * time.Minute

// maxAsked bounds the approvals that one session waits for.
const maxAsked = 20

// maxMisses is how many requests may differ in a row from what was approved, the
// last of which is refused: its client sends no stable bytes.
const maxMisses = 3

type approvalState string

const (
	asked    approvalState = "asked"
	approved approvalState = "approved"
	used     approvalState = "used"
	// void: it was shown with another request than it is for.
	void approvalState = "void"
)

// approval is what is kept of one.
type approval struct {
	State approvalState `json:"state"`
	// Session is the public id of who asked.
	Session string `json:"session"`
	// Sum is of the request, Rules are what it is approved for.
	Sum   []byte   `json:"sum"`
	Rules []string `json:"rules"`
	// Base is the flow of the route, Flow the one that proves.
	Base string `json:"base"`
	Flow string `json:"flow"`
	// Show is what the person reads.
	Show []flows.Row `json:"show"`
	// Method, Host and Path are for conditions of the flow and for the trail.
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	// Misses counts requests in a row that differed from what was approved.
	Misses  int       `json:"misses,omitempty"`
	Source  string    `json:"source,omitempty"`
	Expires time.Time `json:"expires"`

	id string
}

// errNoApproval says that there is none under an id: it was never there, is another
// session's, or its time is over.
var errNoApproval = flows.Refuse(flows.ReasonApprovalGone, errors.New("no such approval in this session"))

func (a *App) approvals() *vault.Vault {
	return a.vault("hall/approvals")
}

// sameRequest is the key under which an approval is found by a request itself: a
// navigation carries no header of ours.
func sameRequest(session string, sum []byte) string {
	return "same\x00" + session + "\x00" + base64.RawURLEncoding.EncodeToString(sum)
}

// keepApproval writes down that a request was asked for.
func (a *App) keepApproval(ctx context.Context, ap *approval) error {
	waiting, err := a.approvals().Members(ctx, ap.Session, "", maxAsked)
	if err != nil {
		return err
	}
	if len(waiting) >= maxAsked {
		return flows.Refuse(flows.ReasonTooManyTries, fmt.Errorf("%d approvals wait in session %s", len(waiting), ap.Session))
	}
	b, err := json.Marshal(ap)
	if err != nil {
		return err
	}
	if err := a.approvals().Create(ctx, ap.id, b, approvalFor, ap.Session); err != nil {
		return err
	}
	return a.approvals().Update(ctx, sameRequest(ap.Session, ap.Sum), func([]byte) (flows.Change, error) {
		return flows.Set([]byte(ap.id), approvalFor), nil
	})
}

// approvalOf reads an approval of a session; errNoApproval if it has none such.
func (a *App) approvalOf(ctx context.Context, id, session string) (*approval, error) {
	if !validKey(id) {
		return nil, errNoApproval
	}
	b, err := a.approvals().Get(ctx, id)
	if errors.Is(err, flows.ErrNotFound) {
		return nil, errNoApproval
	}
	if err != nil {
		return nil, err
	}
	return openApproval(b, id, session)
}

func openApproval(b []byte, id, session string) (*approval, error) {
	ap := &approval{id: id}
	if err := json.Unmarshal(b, ap); err != nil {
		return nil, fmt.Errorf("reading an approval: %w", err)
	}
	if ap.Session != session || !Now().Before(ap.Expires) {
		return nil, errNoApproval
	}
	return ap, nil
}

// approvalOfRequest finds the newest approval that this session asked for these very bytes.
func (a *App) approvalOfRequest(ctx context.Context, session string, sum []byte) (*approval, error) {
	id, err := a.approvals().Get(ctx, sameRequest(session, sum))
	if errors.Is(err, flows.ErrNotFound) {
		return nil, errNoApproval
	}
	if err != nil {
		return nil, err
	}
	return a.approvalOf(ctx, string(id), session)
}

// move brings an approval from one state into the next: whoever comes second hears
// errNoApproval (I09).
func (a *App) move(ctx context.Context, ap *approval, from, to approvalState) error {
	return a.changeApproval(ctx, ap, func(now *approval) error {
		if now.State != from || !bytes.Equal(now.Sum, ap.Sum) || !slices.Equal(now.Rules, ap.Rules) {
			return errNoApproval
		}
		now.State = to
		return nil
	})
}

// missed notes that an approval came with another request than it is for, which ends
// it, and answers how often that happened in a row.
func (a *App) missed(ctx context.Context, ap *approval) (n int, err error) {
	err = a.changeApproval(ctx, ap, func(now *approval) error {
		now.Misses++
		if n = now.Misses; now.State != used {
			now.State = void
		}
		return nil
	})
	return n, err
}

// changeApproval edits an approval in one atomic step. edit is pure.
func (a *App) changeApproval(ctx context.Context, ap *approval, edit func(*approval) error) error {
	return a.approvals().Update(ctx, ap.id, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), errNoApproval
		}
		now, err := openApproval(old, ap.id, ap.Session)
		if err == nil {
			err = edit(now)
		}
		if err != nil {
			return flows.Keep(), err
		}
		b, err := json.Marshal(now)
		return flows.Set(b, max(now.Expires.Sub(Now()), time.Second)), err
	})
}
