package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"
)

// Ticket is what a browser holds: a 128-bit handle that finds its row, and a
// 128-bit secret that unwraps the data key in it. Neither can be computed from
// the other, from the public id or from anything in the store (I13).
type Ticket struct{ b [32]byte }

// NewTicket makes a ticket.
func NewTicket() Ticket {
	var t Ticket
	_, _ = rand.Read(t.b[:]) // crypto/rand.Read never fails (Go 1.24)
	return t
}

// TicketLen is the length of a ticket's text.
const TicketLen = 43

// ErrTicket says that a cookie's value is no ticket.
var ErrTicket = errors.New("malformed ticket")

// ticketText refuses a second spelling of a ticket. It is made once: Strict copies the alphabet.
var ticketText = base64.RawURLEncoding.Strict()

// ParseTicket reads a ticket's text.
func ParseTicket(s string) (Ticket, error) {
	var t Ticket
	if len(s) != TicketLen {
		return t, ErrTicket
	}
	n, err := ticketText.Decode(t.b[:], []byte(s))
	if err != nil || n != len(t.b) {
		return Ticket{}, ErrTicket
	}
	return t, nil
}

// Text is the cookie's value.
func (t Ticket) Text() string { return base64.RawURLEncoding.EncodeToString(t.b[:]) }

// Format hides the ticket from every verb of fmt: it must not end in a log.
func (t Ticket) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("ticket(hidden)")) }

// CacheKey is a keyed hash of the whole ticket: nobody gets a cached session by
// the handle alone, and who sees the key of a cache sees no ticket (I13).
type CacheKey [4]uint64

// cacheHash hides the words of a ticket's text: a line for each two of them. It is
// this process's own: caches are never shared.
var cacheHash = func() (h [3][4]uint64) {
	var b [8 * len(h) * len(h[0])]byte
	_, _ = rand.Read(b[:])
	for i := range len(b) / 8 {
		h[i/len(h[0])][i%len(h[0])] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return h
}()

// CacheKey returns the key of the ticket's session in a cache.
func (t Ticket) CacheKey() CacheKey {
	var k CacheKey
	k.Of(t.Text())
	return k
}

// Of makes k the key of a ticket's text, for every request: a key on the heap
// costs no allocation, and a ticket that is in the cache is not decoded. False: a
// text of this length is none. It is the universal hash NH (RFC 4418 §5.2) with words
// of 64 bits, twice: whatever two texts of this length are, they have one key with a
// probability of 2^-128 at most, in a quarter of the time of AES.
func (k *CacheKey) Of(text string) bool {
	if len(text) != TicketLen {
		return false
	}
	*k = CacheKey{}
	k.add(&cacheHash[0], word(text), word(text[8:]))
	k.add(&cacheHash[1], word(text[16:]), word(text[24:]))
	k.add(&cacheHash[2], word(text[32:]), word(text[TicketLen-8:])) // some bytes twice
	return true
}

// add takes two words into both halves of the key.
func (k *CacheKey) add(hidden *[4]uint64, m, n uint64) {
	var carry uint64
	hi, lo := bits.Mul64(m+hidden[0], n+hidden[1])
	k[0], carry = bits.Add64(k[0], lo, 0)
	k[1], _ = bits.Add64(k[1], hi, carry)
	hi, lo = bits.Mul64(m+hidden[2], n+hidden[3])
	k[2], carry = bits.Add64(k[2], lo, 0)
	k[3], _ = bits.Add64(k[3], hi, carry)
}

// word is the first eight bytes of s, which the compiler reads at once.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// Row names a ticket's row in the store: half of its key, which is enough to tell
// rows apart, and tells nothing of the ticket.
type Row [16]byte

// rowPrefix begins the store keys of tickets' rows.
const rowPrefix = "t/"

// row is the store key of the ticket's row.
func (t Ticket) row() string {
	h := t.rowHash()
	return rowPrefix + base64.RawURLEncoding.EncodeToString(h[:])
}

func (t Ticket) rowHash() [sha256.Size]byte {
	return sha256.Sum256(append([]byte("sallyport ticket handle "), t.b[:16]...))
}

func (t Ticket) rowID() Row {
	h := t.rowHash()
	return Row(h[:16])
}

// RowOf is the row of a store key, false for the key of anything else.
func RowOf(key string) (Row, bool) {
	text, ok := strings.CutPrefix(key, rowPrefix)
	h, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(h) != sha256.Size {
		return Row{}, false
	}
	return Row(h[:16]), true
}

// Row is that of the ticket that the session was loaded by.
func (s *Session) Row() Row { return s.row }

// ticketRow is what the store keeps of a ticket. Session id and data key are
// sealed by the ticket's secret: a stolen store does not link rows and sessions.
type ticketRow struct {
	Origin  string `json:"origin"`
	Sealed  []byte `json:"sealed,omitempty"`
	Rotated bool   `json:"rotated,omitempty"`
	// Until is the end of the session, of a replaced ticket the time it may be retried.
	Until time.Time `json:"until"`
}

type ticketSecret struct {
	Session string `json:"session"`
	DataKey []byte `json:"key"`
	// Lent marks the ticket of a host that got its session from a portal, Rotation
	// how often the session had proved more by then.
	Lent     bool `json:"lent,omitempty"`
	Rotation int  `json:"rotation,omitempty"`
}

// seal wraps the data key. The key made of the secret seals this once, so the
// fixed nonce is never used twice with it.
func (t Ticket) seal(origin string, s ticketSecret) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return t.aead(func(a aeadFunc) ([]byte, error) { return a.seal(plain, origin+" "+t.row()), nil })
}

func (t Ticket) open(r ticketRow) (ticketSecret, error) {
	var s ticketSecret
	plain, err := t.aead(func(a aeadFunc) ([]byte, error) { return a.open(r.Sealed, r.Origin+" "+t.row()) })
	if err != nil {
		return s, ErrSealed
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, fmt.Errorf("reading a ticket row: %w", err)
	}
	return s, nil
}

type aeadFunc struct {
	seal func(plain []byte, ad string) []byte
	open func(sealed []byte, ad string) ([]byte, error)
}

func (t Ticket) aead(f func(aeadFunc) ([]byte, error)) ([]byte, error) {
	key := sha256.Sum256(append([]byte("sallyport ticket secret "), t.b[16:]...))
	g, err := gcm(key[:])
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, g.NonceSize())
	return f(aeadFunc{
		seal: func(p []byte, ad string) []byte { return g.Seal(nil, nonce, p, []byte(ad)) },
		open: func(s []byte, ad string) ([]byte, error) { return g.Open(nil, nonce, s, []byte(ad)) },
	})
}
