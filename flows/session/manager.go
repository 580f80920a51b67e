package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// The errors of Load beside flows.ErrNotFound and flows.ErrUnavailable.
var (
	// ErrRotated: the ticket was replaced a moment ago; a retry brings the new one.
	ErrRotated = errors.New("ticket was replaced")
	// ErrEnded: the session ended, by logout, revocation or time.
	ErrEnded = errors.New("session ended")
	// ErrOrigin: the ticket was made for another origin (S14).
	ErrOrigin = errors.New("ticket belongs to another origin")
)

// Tombstone is how long the card of an ended session is kept.
const Tombstone = 24 * time.Hour

// rotatedFor is how long a replaced ticket is still recognised.
const rotatedFor = time.Minute

// Manager makes, loads and ends sessions. It has no cache: that is the hall's.
type Manager struct {
	Store flows.Store
	// Keys gives the cluster's ring, made lazily.
	Keys func(ctx context.Context) (*Keyring, error)
	Now  func() time.Time
	// Longest is the longest lifetime of a session that may exist; revocations
	// are kept for it, and for 31 days at least.
	Longest time.Duration
}

// Limits of a new session.
type Limits struct{ Idle, Lifetime time.Duration }

// Browser is where a session is made for.
type Browser struct {
	Origin, IP, Agent string
	// Audience is where the ticket is good: the origin, which is the default, or the
	// hosts that share their sessions (I13).
	Audience string
	// ID is the public id of a new session, so that its audit event can name it
	// before it exists; "" makes one.
	ID string
	// Device stands for what the browser is known by.
	Device string
}

// Create makes a session of a finished Execution, after its audit receipt. old
// is the session the run stood on, or nil: then its ticket is replaced and the
// session keeps its id, its start and its other flows (I02, I13).
func (m *Manager) Create(ctx context.Context, r audit.Receipt, f flows.Finished, b Browser, l Limits, old *Session, oldTicket *Ticket) (Ticket, *Session, error) {
	x := f.Execution()
	if x == nil || !r.Valid() {
		return Ticket{}, nil, errors.New("a session needs a finished execution and an audit receipt")
	}
	now := m.Now()
	s := &Session{User: x.User, Evidence: x.Evidence, Grants: x.Grants, Readings: x.Readings, Risk: x.Risk, Device: b.Device, Origin: cmp.Or(b.Audience, b.Origin)}
	if old != nil {
		if old.User.Key != x.User.Key {
			return Ticket{}, nil, flows.Refuse(flows.ReasonUserMismatch, errors.New("the session belongs to somebody else"))
		}
		s.Card = old.Card
		s.Card.Flows, s.Card.SIDs = maps.Clone(old.Card.Flows), maps.Clone(old.Card.SIDs)
		s.Card.LogoutKeys = maps.Clone(old.Card.LogoutKeys)
		s.dataKey = old.dataKey
		if s.Risk == nil { // a flow without a risk step takes back nothing that was read
			s.Readings, s.Risk = old.Readings, old.Risk
		}
		s.Device = cmp.Or(s.Device, old.Device)
	} else {
		s.Card = Card{ID: cmp.Or(b.ID, rand.Text()), User: x.User.Key, Started: now, Idle: l.Idle, Expires: now.Add(l.Lifetime)}
		s.dataKey = make([]byte, 32)
		_, _ = rand.Read(s.dataKey)
	}
	s.Card.fill(x, b, now)
	// A run that was under way when its user was revoked makes no session, and a
	// session from before is not renewed.
	began := s.Card.Started
	if x.Started.Before(began) {
		began = x.Started
	}
	spoken := spokenAt(x, began)
	mayStand := func() error {
		if err := m.MayEnter(ctx, x.User.Key); err != nil {
			return err
		}
		return m.notRevoked(ctx, &s.Card, began, spoken)
	}
	if err := mayStand(); err != nil {
		return Ticket{}, nil, err
	}
	write := m.write
	if old != nil {
		write = func(ctx context.Context, s *Session) error {
			return m.rewrite(ctx, s, x.Started, func(c *Card) {
				c.fill(x, b, now)
				if !x.Inherited {
					c.Rotation, c.RotatedAt = c.Rotation+1, now
				}
			})
		}
	}
	if err := write(ctx, s); err != nil {
		return Ticket{}, nil, err
	}
	// Once more, behind the card: whoever revoked in between has either found the
	// card and ends it, or is found here.
	if err := mayStand(); err != nil {
		_, _, _ = m.End(ctx, s.Card.ID, flows.ReasonRevoked)
		return Ticket{}, nil, err
	}
	t := NewTicket()
	if err := m.writeTicket(ctx, t, s); err != nil {
		return Ticket{}, nil, err
	}
	if oldTicket != nil {
		m.rotate(ctx, *oldTicket)
	}
	s.row = t.rowID()
	s.prepare()
	return t, s, nil
}

// spokenAt is when the oldest word of a run was given that nobody asked for: what a
// provider began by itself may have been said long before it came (I15).
func spokenAt(x *flows.Execution, began time.Time) time.Time {
	for i := range x.Evidence {
		if e := &x.Evidence[i]; e.Kind == flows.IDPInitiated && e.At.Before(began) {
			began = e.At
		}
	}
	return began
}

// replacedBy finds the grants of providers that spoke again: without it a body
// would grow with every login on one session.
func replacedBy(newer []flows.Grant) func(flows.Grant) bool {
	return func(g flows.Grant) bool {
		return slices.ContainsFunc(newer, func(n flows.Grant) bool { return n.Provider == g.Provider })
	}
}

// fill takes what the run proved into the card.
func (c *Card) fill(x *flows.Execution, b Browser, now time.Time) {
	if c.Flows == nil {
		c.Flows = map[string]Done{}
	}
	if c.SIDs == nil {
		c.SIDs = map[string]string{}
	}
	c.Name, c.Provider, c.IP, c.Agent = x.User.Name, x.User.Provider, b.IP, cut(b.Agent, 200)
	if now.After(c.Seen) {
		c.Seen = now
	}
	done := Done{Digest: x.Digest, At: now, Proved: c.Flows[x.Flow].Proved}
	if x.Proved {
		done.Proved = now
	}
	c.Flows[x.Flow] = done
	if !slices.Contains(c.Origins, b.Origin) {
		c.Origins = append(slices.Clone(c.Origins), b.Origin)
	}
	for _, g := range x.Grants {
		if g.SID != "" {
			c.SIDs[g.Provider] = g.SID
		}
		c.setLogoutKeys(g)
		c.endBy(g.NotAfter)
	}
	c.endBy(x.NotAfter)
}

// endBy ends the session no later than t; zero says nothing of its end.
func (c *Card) endBy(t time.Time) {
	if !t.IsZero() && t.Before(c.Expires) {
		c.Expires = t
	}
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// write puts body and card, the ticket comes behind them: in this order, so that
// a crash in between leaves rows that nothing points to and that expire.
func (m *Manager) write(ctx context.Context, s *Session) error {
	left := s.Card.Expires.Sub(m.Now())
	if left <= 0 {
		return errOver
	}
	sealed, err := sealBody(s.dataKey, s.Card.ID, s.body())
	if err != nil {
		return err
	}
	err = m.Store.Update(ctx, "b/"+s.Card.ID, func([]byte) (flows.Change, error) { return flows.Set(sealed, left), nil })
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	return m.newCard(ctx, &s.Card)
}

func (m *Manager) writeTicket(ctx context.Context, t Ticket, s *Session) error {
	left := s.Card.Expires.Sub(m.Now())
	if left <= 0 {
		return ErrEnded
	}
	ts, err := t.seal(s.Origin, ticketSecret{s.Card.ID, s.dataKey, s.lent, s.rotation})
	if err != nil {
		return err
	}
	row, err := json.Marshal(ticketRow{Origin: s.Origin, Sealed: ts, Until: s.Card.Expires})
	if err != nil {
		return err
	}
	// The row outlasts the session as the card does: a ticket that was good is known
	// by nothing else (Recognise).
	if err := m.Store.Create(ctx, t.row(), row, left+Tombstone); err != nil {
		return fmt.Errorf("writing a ticket: %w", err)
	}
	return nil
}

func (m *Manager) newCard(ctx context.Context, c *Card) error {
	k, err := m.Keys(ctx)
	if err != nil {
		return err
	}
	set, err := m.set(k, c, m.Now())
	if err != nil {
		return err
	}
	if err := m.Store.Create(ctx, "c/"+c.ID, set.Val, set.TTL, set.Index...); err != nil {
		return fmt.Errorf("writing a card: %w", err)
	}
	return nil
}

// change edits the card that is in the store: one that ended or is gone cannot
// be written back, and what others added meanwhile is not lost (I15). edit must
// be pure; it gets a card of its own.
func (m *Manager) change(ctx context.Context, id string, edit func(*Card)) (*Card, error) {
	k, err := m.Keys(ctx)
	if err != nil {
		return nil, err
	}
	now := m.Now()
	var out *Card
	err = m.Store.Update(ctx, "c/"+id, func(old []byte) (flows.Change, error) {
		out = nil
		c, err := openCard(k, id, old)
		if errors.Is(err, ErrSealed) {
			return flows.Keep(), flows.ErrNotFound
		}
		if err != nil {
			return flows.Keep(), err
		}
		if !c.Ended.IsZero() {
			return flows.Keep(), ErrEnded
		}
		edit(c)
		out = c
		return m.set(k, c, now)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// set is the write of a living card. A ttl of zero would keep it for ever.
func (m *Manager) set(k *Keyring, c *Card, now time.Time) (flows.Change, error) {
	left := c.Expires.Sub(now)
	if left <= 0 {
		return flows.Keep(), ErrEnded
	}
	index, err := m.indexes(k, c)
	if err != nil {
		return flows.Keep(), err
	}
	sealed, err := sealCard(k, c)
	if err != nil {
		return flows.Keep(), err
	}
	if len(c.CallOuts) > 0 {
		index = append(index, callOutIndex)
	}
	// The card outlasts the session, for somebody to find that its time is over: a row
	// that ended with it would leave nothing to note in the trail.
	return flows.Set(sealed, left+Tombstone, index...), nil
}

func (m *Manager) indexes(k *Keyring, c *Card) ([]string, error) {
	h, err := k.Hashes("user", string(c.User))
	if err != nil {
		return nil, err
	}
	ends, err := endIndexes(k, c)
	return append([]string{"u/" + h[0], "all"}, ends...), err
}

// endIndexes find the card by what providers end sessions by, a tombstone too.
func endIndexes(k *Keyring, c *Card) ([]string, error) {
	sids, err := sidIndexes(k, c)
	if err != nil {
		return nil, err
	}
	keys, err := keyIndexes(k, c)
	return append(sids, keys...), err
}

// sidIndexes are those of the session ids of providers.
func sidIndexes(k *Keyring, c *Card) ([]string, error) {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(c.SIDs)) {
		h, err := k.Hashes("sid", p+"\x00"+c.SIDs[p])
		if err != nil {
			return nil, err
		}
		out = append(out, "s/"+h[0])
	}
	return out, nil
}

func sealCard(k *Keyring, c *Card) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return k.Seal("card", c.ID, plain)
}

func openCard(k *Keyring, id string, sealed []byte) (*Card, error) {
	if sealed == nil {
		return nil, flows.ErrNotFound
	}
	plain, err := k.Open("card", id, sealed)
	if err != nil {
		return nil, fmt.Errorf("card of session %s: %w", id, err)
	}
	var c Card
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, fmt.Errorf("card of session %s: %w", id, err)
	}
	return &c, nil
}

// rotate marks a replaced ticket; a failure leaves it valid until the session ends.
func (m *Manager) rotate(ctx context.Context, t Ticket) {
	until := m.Now().Add(rotatedFor)
	_ = m.Store.Update(ctx, t.row(), func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), nil
		}
		var row ticketRow
		if err := json.Unmarshal(old, &row); err != nil {
			return flows.Remove(), nil
		}
		row.Rotated, row.Until = true, until
		marked, err := json.Marshal(row)
		return flows.Set(marked, Tombstone), err
	})
}

// Load finds the session of a ticket shown at an origin, or among hosts that share. flows.ErrNotFound,
// ErrEnded, ErrRotated and ErrOrigin say no; anything else could not ask (I16).
func (m *Manager) Load(ctx context.Context, t Ticket, origin string) (*Session, error) {
	raw, err := m.Store.Get(ctx, t.row())
	if err != nil {
		return nil, err
	}
	var row ticketRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return nil, flows.ErrNotFound
	}
	if row.Rotated && m.Now().Before(row.Until) {
		return nil, ErrRotated
	}
	if row.Rotated {
		return nil, flows.ErrNotFound
	}
	if row.Origin != origin {
		return nil, ErrOrigin
	}
	secret, err := t.open(row)
	if err != nil {
		return nil, flows.ErrNotFound
	}
	s, err := m.load(ctx, secret, origin, time.Time{})
	if err == nil {
		s.row = t.rowID()
	}
	return s, err
}

// Recognise finds whose a ticket is or was at an origin: the card of its session,
// alive, over or a tombstone. It opens its row, as a ticket does that is good: to look
// like one is not enough (I21). flows.ErrNotFound and ErrOrigin say no; anything else
// could not ask. It signs nobody in.
func (m *Manager) Recognise(ctx context.Context, t Ticket, origin string) (*Card, error) {
	raw, err := m.Store.Get(ctx, t.row())
	if err != nil {
		return nil, err
	}
	var row ticketRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return nil, flows.ErrNotFound
	}
	if row.Origin != origin {
		return nil, ErrOrigin
	}
	secret, err := t.open(row)
	if err != nil {
		return nil, flows.ErrNotFound
	}
	return m.Card(ctx, secret.Session)
}

// Reload reads a session anew from the store, for the ticket that it was loaded by.
func (m *Manager) Reload(ctx context.Context, s *Session) (*Session, error) {
	fresh, err := m.load(ctx, ticketSecret{Session: s.Card.ID, DataKey: s.dataKey}, s.Origin, s.Seen())
	if err != nil {
		return nil, err
	}
	fresh.lent, fresh.rotation, fresh.row = s.lent, s.rotation, s.row
	fresh.Follow(s)
	return fresh, nil
}

// load reads card and body. seen is activity that may not be written yet.
func (m *Manager) load(ctx context.Context, secret ticketSecret, origin string, seen time.Time) (*Session, error) {
	c, err := m.Card(ctx, secret.Session)
	if err != nil {
		return nil, err
	}
	now := m.Now()
	if seen.Before(c.Seen) {
		seen = c.Seen
	}
	if !c.Ended.IsZero() || !now.Before(c.Expires) || now.Sub(seen) >= c.Idle {
		return nil, ErrEnded
	}
	if err := m.standing(ctx, c); err != nil {
		return nil, err
	}
	if err := m.outdated(secret, c); err != nil {
		return nil, err
	}
	sealed, err := m.Store.Get(ctx, "b/"+c.ID)
	if err != nil {
		return nil, err
	}
	b, err := openBody(secret.DataKey, c.ID, sealed)
	if err != nil {
		return nil, err
	}
	s := &Session{
		Card: *c, Origin: origin, dataKey: secret.DataKey, lent: secret.Lent, rotation: secret.Rotation,
		User: b.User, Evidence: b.Evidence, Grants: b.Grants, Readings: b.Readings, Risk: b.Risk, Device: b.Device,
	}
	s.prepare()
	return s, nil
}
