package session

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/sallyport-gateway/sallyport/flows/session"
)

// TicketStore is a gorilla sessions.Store over our tickets: saving a session
// writes the cookie that carries its ticket, or ends it. It runs at login and
// logout only; the hot path scans the cookie by hand.
type TicketStore struct{ Options sessions.Options }

// ticketValue is the key of the ticket among a gorilla session's values.
const ticketValue = "ticket"

// NewTicketStore makes a store for cookies of this origin.
func NewTicketStore(secure bool, domain string) *TicketStore {
	return &TicketStore{sessions.Options{Path: "/", Domain: domain, Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}}
}

// Get returns the session without gorilla's registry, which copies the request.
func (s *TicketStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return s.New(r, name)
}

// New reads the ticket of the request, if it shows one.
func (s *TicketStore) New(r *http.Request, name string) (*sessions.Session, error) {
	gs := sessions.NewSession(s, name)
	o := s.Options
	gs.Options, gs.IsNew = &o, true
	if c, err := r.Cookie(name); err == nil {
		if t, err := session.ParseTicket(c.Value); err == nil {
			gs.Values[ticketValue], gs.IsNew = t, false
		}
	}
	return gs, nil
}

// Save writes the cookie; a negative MaxAge ends it.
func (s *TicketStore) Save(_ *http.Request, w http.ResponseWriter, gs *sessions.Session) error {
	value := ""
	if gs.Options.MaxAge >= 0 {
		t, ok := gs.Values[ticketValue].(session.Ticket)
		if !ok {
			return errors.New("saving a session without a ticket")
		}
		value = t.Text()
	}
	http.SetCookie(w, sessions.NewCookie(gs.Name(), value, gs.Options))
	return nil
}

// Set writes the session cookie of a ticket.
func (s *TicketStore) Set(w http.ResponseWriter, name string, t session.Ticket) error {
	gs := sessions.NewSession(s, name)
	o := s.Options
	gs.Options = &o
	gs.Values[ticketValue] = t
	return s.Save(nil, w, gs)
}

// Clear ends a cookie.
func (s *TicketStore) Clear(w http.ResponseWriter, name string) {
	gs := sessions.NewSession(s, name)
	o := s.Options
	o.MaxAge = -1
	gs.Options = &o
	_ = s.Save(nil, w, gs)
}

// PendingAge is how long a login may take, in seconds.
const PendingAge = 600

// pendingValue is the key of the sealed Execution among a gorilla session's values.
const pendingValue = "x"

// Pending is the sealed cookie of an unfinished login: gorilla's CookieStore
// with key pairs derived per origin, so that the cookie opens nowhere else (I08).
type Pending struct{ store *sessions.CookieStore }

// NewPending makes the store of one origin. Every key of the ring gives a pair:
// the first writes, all read (B20).
func NewPending(k *session.Keyring, origin string, secure bool) (*Pending, error) {
	keys, err := k.Derive("pending "+origin, 64)
	if err != nil {
		return nil, err
	}
	var pairs [][]byte
	for _, b := range keys {
		pairs = append(pairs, b[:32], b[32:])
	}
	cs := sessions.NewCookieStore(pairs...)
	cs.Options = &sessions.Options{Path: "/", Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: PendingAge}
	for _, c := range cs.Codecs {
		if sc, ok := c.(*securecookie.SecureCookie); ok {
			sc.MaxAge(PendingAge)
			sc.SetSerializer(packed{})
			sc.MaxLength(4000)
		}
	}
	return &Pending{cs}, nil
}

// Load opens the pending login of a cookie; http.ErrNoCookie if there is none.
func (p *Pending) Load(r *http.Request, name string) ([]byte, error) {
	gs, err := p.store.New(r, name)
	if err != nil {
		return nil, fmt.Errorf("pending login: %w", session.ErrSealed)
	}
	b, ok := gs.Values[pendingValue].([]byte)
	if !ok {
		return nil, http.ErrNoCookie
	}
	return b, nil
}

// Save seals a pending login into its cookie.
func (p *Pending) Save(w http.ResponseWriter, r *http.Request, name string, b []byte) error {
	gs := sessions.NewSession(p.store, name)
	o := *p.store.Options
	gs.Options = &o
	gs.Values[pendingValue] = b
	return p.store.Save(r, w, gs)
}

// Clear ends a pending cookie.
func (p *Pending) Clear(w http.ResponseWriter, name string) {
	o := *p.store.Options
	o.MaxAge = -1
	http.SetCookie(w, sessions.NewCookie(name, "", &o))
}

// packed keeps the one value of a pending cookie small: deflated bytes instead
// of gob, which costs ten times as much and doubles the size.
type packed struct{}

// maxUnpacked bounds what a deflated cookie may grow to; it is sealed, so only
// we could have written more.
const maxUnpacked = 64 << 10

// deflaters are kept, a few: a new one is most of a megabyte, for every stranger
// who begins a login.
var deflaters = make(chan *flate.Writer, 2)

// deflater takes one; give it back with keepDeflater.
func deflater(to io.Writer) (*flate.Writer, error) {
	select {
	case w := <-deflaters:
		w.Reset(to)
		return w, nil
	default:
		// The quickest level: the others clear 650 KiB for every 600 bytes, and save 20.
		return flate.NewWriter(to, flate.BestSpeed)
	}
}

func keepDeflater(w *flate.Writer) {
	select {
	case deflaters <- w:
	default:
	}
}

func (packed) Serialize(src any) ([]byte, error) {
	m, ok := src.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("packing %T", src)
	}
	b, ok := m[pendingValue].([]byte)
	if !ok {
		return nil, errors.New("packing a pending login without one")
	}
	var buf bytes.Buffer
	w, err := deflater(&buf)
	if err != nil {
		return nil, err
	}
	defer keepDeflater(w)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (packed) Deserialize(src []byte, dst any) error {
	m, ok := dst.(*map[any]any)
	if !ok {
		return fmt.Errorf("unpacking into %T", dst)
	}
	r := flate.NewReader(bytes.NewReader(src))
	b, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	if err != nil {
		return err
	}
	*m = map[any]any{pendingValue: b}
	return nil
}

var _ sessions.Store = (*TicketStore)(nil)
