package module

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// The limits of unfinished logins per browser (B05).
const (
	maxPending      = 5
	maxPendingBytes = 4096
	pendingFor      = session.PendingAge * time.Second
	// maxReturn is the longest return address that travels in cookie and state.
	maxReturn = 1500
)

// errNoPending says that the browser does not hold this pending login (any more).
var errNoPending = errors.New("no such pending login in this browser")

// newPendingID begins with the time, so that the oldest is known by its name.
func newPendingID(now time.Time) string {
	var b [10]byte
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix())) //nolint:gosec // until 2106; order only
	_, _ = rand.Read(b[4:])
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

func validPendingID(s string) bool {
	return len(s) == 16 && strings.Trim(s, "0123456789abcdefghijklmnopqrstuv") == ""
}

// pendingName is the cookie of one pending login. It is always host-only.
func (v *visit) pendingName(id string) string {
	n := v.place.cookie
	if rest, ok := strings.CutPrefix(n, "__Secure-"); ok {
		n = "__Host-" + rest
	}
	return n + ".p" + id
}

// pendingStore opens the cookies of this origin.
func (v *visit) pendingStore() (*session.Pending, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return nil, err
	}
	return session.NewPending(k, v.place.origin, v.place.secure)
}

// pendings lists the ids of this browser's pending logins with their sizes, oldest first.
func (v *visit) pendings() (ids []string, size map[string]int) {
	prefix, size := v.pendingName(""), map[string]int{}
	for _, line := range v.cookies {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if id, ok := strings.CutPrefix(name, prefix); ok && validPendingID(id) && size[id] == 0 {
				ids, size[id] = append(ids, id), len(name)+len(value)+3
			}
		}
	}
	slices.Sort(ids)
	return ids, size
}

// savePending seals an Execution into its cookie. What knows a user does not
// travel: it is kept in the store, and the cookie only names it (I08).
func (v *visit) savePending(id string, x *flows.Execution) error {
	st, err := v.pendingStore()
	if err != nil {
		return err
	}
	carried := *x
	switch {
	case x.Inherited && !x.Guarded:
		carried.User, carried.Evidence, carried.Readings, carried.Risk = nil, nil, nil, nil
	case x.User != nil:
		if err := v.storeExecution(id, x); err != nil {
			return err
		}
		carried = flows.Execution{ID: x.ID, Flow: x.Flow, Digest: x.Digest, Token: x.Token, Origin: x.Origin, Expires: x.Expires, Session: x.Session}
		carried.Stored = true
	}
	b, err := json.Marshal(&carried)
	if err != nil {
		return fmt.Errorf("packing a pending login: %w", err)
	}
	before := len(v.w.Header()["Set-Cookie"])
	if err := st.Save(v.w, v.r, v.pendingName(id), b); err != nil {
		return fmt.Errorf("packing a pending login: %w", err)
	}
	total := 0
	for _, c := range v.w.Header()["Set-Cookie"][before:] {
		pair, _, _ := strings.Cut(c, ";")
		total += len(pair) + 2
	}
	v.dropOldest(st, id, total)
	return nil
}

// dropOldest keeps the browser's pending logins few and small (B05).
func (v *visit) dropOldest(st *session.Pending, keep string, total int) {
	ids, size := v.pendings()
	ids = slices.DeleteFunc(ids, func(s string) bool { return s == keep })
	for _, s := range ids {
		total += size[s]
	}
	for len(ids) > maxPending-1 || total > maxPendingBytes && len(ids) > 0 {
		st.Clear(v.w, v.pendingName(ids[0]))
		total -= size[ids[0]]
		ids = ids[1:]
	}
}

// loadPending opens a pending login of this browser; errNoPending if it has none.
func (v *visit) loadPending(id string) (*flows.Execution, error) {
	if !validPendingID(id) {
		return nil, errNoPending
	}
	st, err := v.pendingStore()
	if err != nil {
		return nil, err
	}
	r := &http.Request{Header: http.Header{"Cookie": v.cookies}}
	b, err := st.Load(r, v.pendingName(id))
	if errors.Is(err, http.ErrNoCookie) || errors.Is(err, flowsession.ErrSealed) {
		return nil, errNoPending
	}
	if err != nil {
		return nil, err
	}
	x := new(flows.Execution)
	if err := json.Unmarshal(b, x); err != nil {
		return nil, errNoPending
	}
	if x.Stored {
		if x, err = v.storedExecution(id); err != nil {
			return nil, err
		}
	}
	if !Now().Before(x.Expires) || x.Origin != v.place.origin {
		return nil, errNoPending
	}
	if x.Inherited && !v.inherit(x) {
		return nil, errNoPending
	}
	return x, nil
}

// inherit lends the run the session it stands on; false if that is not shown.
func (v *visit) inherit(x *flows.Execution) bool {
	if v.session == nil || v.session.ID() != x.Session {
		return false
	}
	x.User, x.Evidence, x.Inherited = v.session.User, slices.Clone(v.session.Evidence), true
	if x.Risk == nil || x.Risk.Run != x.ID {
		x.Readings, x.Risk = v.session.Readings, v.session.Risk
	}
	return true
}

// storeExecution keeps a run that knows its user in the store, sealed.
func (v *visit) storeExecution(id string, x *flows.Execution) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	sealed, err := k.Seal("execution", id, b)
	if err != nil {
		return err
	}
	return v.app.store.Update(v.r.Context(), "x/"+id, func([]byte) (flows.Change, error) {
		return flows.Set(sealed, pendingFor), nil
	})
}

func (v *visit) storedExecution(id string) (*flows.Execution, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return nil, err
	}
	sealed, err := v.app.store.Get(v.r.Context(), "x/"+id)
	if errors.Is(err, flows.ErrNotFound) {
		return nil, errNoPending
	}
	if err != nil {
		return nil, err
	}
	b, err := k.Open("execution", id, sealed)
	if err != nil {
		return nil, errNoPending
	}
	x := new(flows.Execution)
	if err := json.Unmarshal(b, x); err != nil {
		return nil, errNoPending
	}
	return x, nil
}

// clearPending ends all pending logins of this browser, on success (B05).
func (v *visit) clearPending() {
	st, err := v.pendingStore()
	if err != nil {
		return
	}
	ids, _ := v.pendings()
	for _, id := range ids {
		st.Clear(v.w, v.pendingName(id))
	}
}

func (v *visit) dropStored(id string) {
	_ = v.app.store.Update(v.r.Context(), "x/"+id, func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
}
