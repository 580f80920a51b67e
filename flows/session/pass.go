package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Pass is a one-time code that a browser carries from one of our hosts to
// another: a 128-bit handle that finds a row in the store and a 128-bit secret
// that opens it. It is no ticket and opens nothing but its own row.
type Pass struct{ t Ticket }

// ParsePass reads a pass's text; ErrTicket if it is none.
func ParsePass(s string) (Pass, error) {
	t, err := ParseTicket(s)
	return Pass{t}, err
}

// Text is what travels.
func (p Pass) Text() string { return p.t.Text() }

// Format hides the pass from every verb of fmt, as Ticket does.
func (p Pass) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("pass(hidden)")) }

func (p Pass) row(space string) string {
	h := sha256.Sum256(append([]byte("sallyport pass "+space+" "), p.t.b[:16]...))
	return "o/" + base64.RawURLEncoding.EncodeToString(h[:])
}

// passRow is what the store keeps of a pass.
type passRow struct {
	Sealed []byte    `json:"sealed"`
	Until  time.Time `json:"until"`
}

// Issue keeps a value for whoever shows the pass at an audience, once, within ttl.
// Without the pass the row opens for nobody, and for another audience it opens not at all.
func (m *Manager) Issue(ctx context.Context, space, audience string, v any, ttl time.Duration) (Pass, error) {
	p := Pass{NewTicket()}
	plain, err := json.Marshal(v)
	if err != nil {
		return Pass{}, err
	}
	sealed, err := p.t.aead(func(a aeadFunc) ([]byte, error) {
		return a.seal(plain, "pass "+space+" "+audience+" "+p.row(space)), nil
	})
	if err != nil {
		return Pass{}, err
	}
	row, err := json.Marshal(passRow{sealed, m.Now().Add(ttl)})
	if err != nil {
		return Pass{}, err
	}
	if err := m.Store.Create(ctx, p.row(space), row, ttl); err != nil {
		return Pass{}, fmt.Errorf("writing a pass: %w", err)
	}
	return p, nil
}

// Read opens what a pass stands for and uses nothing up. flows.ErrNotFound: it was
// used, its time is over, or it is no pass of ours. ErrOrigin: it is one for
// another audience, or its secret is wrong.
func (m *Manager) Read(ctx context.Context, p Pass, space, audience string, v any) error {
	raw, err := m.Store.Get(ctx, p.row(space))
	if err != nil {
		return err
	}
	var row passRow
	if err := json.Unmarshal(raw, &row); err != nil || !m.Now().Before(row.Until) {
		return flows.ErrNotFound
	}
	plain, err := p.t.aead(func(a aeadFunc) ([]byte, error) {
		return a.open(row.Sealed, "pass "+space+" "+audience+" "+p.row(space))
	})
	if err != nil {
		return ErrOrigin
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return flows.ErrNotFound
	}
	return nil
}

// Spend uses a pass up. One caller gets nil; the others flows.ErrNotFound (I09).
func (m *Manager) Spend(ctx context.Context, p Pass, space string) error {
	err := m.Store.Update(ctx, p.row(space), func(old []byte) (flows.Change, error) {
		if old == nil {
			return flows.Keep(), flows.ErrNotFound
		}
		return flows.Remove(), nil
	})
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return fmt.Errorf("using up a pass: %w", err)
	}
	return err
}
