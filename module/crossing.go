package module

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// crossing is an answer that came as a cross-site POST, on its way to the GET that
// may read cookies (I10). The POST brings no Lax cookies and grants nothing. A bare
// code is worth nothing without the browser's pending login and travels sealed in
// the address; a whole message, which was verified, waits in the store under a
// handle that opens once.
type crossing struct {
	Provider string     `json:"p"`
	Values   url.Values `json:"v,omitempty"`
	// Received is what a whole message says.
	Received *flows.Received `json:"r,omitempty"`
	// Token must come back with the form that asks whether to go on.
	Token string    `json:"t,omitempty"`
	At    time.Time `json:"a,omitzero"`
	// Expires is in unix seconds.
	Expires int64 `json:"e"`
}

// crossFor is how long an answer may take to the GET.
const crossFor = time.Minute

// maxCarried keeps the address of the GET within what servers read.
const maxCarried = 24 << 10

// carry sends a form on as a GET, sealed in its address.
func (v *visit) carry(provider string, values url.Values) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	b, err := json.Marshal(crossing{Provider: provider, Values: values, Expires: Now().Add(crossFor).Unix()})
	if err != nil {
		return v.refuse(http.StatusBadRequest, flows.ReasonInvalidAnswer, "", "", err)
	}
	sealed, err := k.Seal("carried", v.place.origin, b)
	if err != nil {
		return v.unavailable(err)
	}
	if len(sealed) > maxCarried {
		return v.refuse(http.StatusBadRequest, flows.ReasonTooLarge, "", "", fmt.Errorf("an answer of %d bytes", len(b)))
	}
	return v.crossOver(base64.RawURLEncoding.EncodeToString(sealed))
}

// park has a verified answer wait in the store for a minute: the first write of a
// login, paid for by a valid signature.
func (v *visit) park(p *flows.Provider, r flows.Received) error {
	now := Now()
	h := newID()
	c := crossing{Provider: p.Name, Received: &r, At: now, Expires: now.Add(crossFor).Unix()}
	if err := v.keepCrossing(h, &c, crossFor); err != nil {
		return v.unavailable(err)
	}
	return v.crossOver(h)
}

func (v *visit) crossOver(h string) error {
	return v.redirect(v.place.origin + "/.identity/flow?h=" + h)
}

// crossingKey is where an answer waits: its handle cannot be read in the store.
func crossingKey(h string) string {
	sum := sha256.Sum256([]byte("sallyport crossing " + h))
	return "a/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (v *visit) keepCrossing(h string, c *crossing, ttl time.Duration) error {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	sealed, err := k.Seal("parked", v.place.origin+" "+h, b)
	if err != nil {
		return err
	}
	return v.app.store.Create(v.r.Context(), crossingKey(h), sealed, ttl)
}

// errNoCrossing says that nothing waits under a handle (any more).
var errNoCrossing = errors.New("no answer waits under this handle")

// takeCrossing consumes what waits under a handle: one caller gets it.
func (v *visit) takeCrossing(h string) (*crossing, error) {
	var sealed []byte
	err := v.app.store.Update(v.r.Context(), crossingKey(h), func(old []byte) (flows.Change, error) {
		sealed = old
		if old == nil {
			return flows.Keep(), nil
		}
		return flows.Remove(), nil
	})
	if err != nil {
		return nil, err
	}
	return v.openCrossing(h, sealed)
}

// seeCrossing reads it and leaves it there.
func (v *visit) seeCrossing(h string) (*crossing, error) {
	sealed, err := v.app.store.Get(v.r.Context(), crossingKey(h))
	if errors.Is(err, flows.ErrNotFound) {
		return nil, errNoCrossing
	}
	if err != nil {
		return nil, err
	}
	return v.openCrossing(h, sealed)
}

func (v *visit) openCrossing(h string, sealed []byte) (*crossing, error) {
	if sealed == nil {
		return nil, errNoCrossing
	}
	return v.unseal("parked", v.place.origin+" "+h, sealed)
}

func (v *visit) unseal(purpose, ad string, sealed []byte) (*crossing, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return nil, err
	}
	b, err := k.Open(purpose, ad, sealed)
	c := new(crossing)
	if err == nil {
		err = json.Unmarshal(b, c)
	}
	if err != nil || Now().Unix() > c.Expires {
		return nil, errNoCrossing
	}
	return c, nil
}

// crossed finds the answer of either kind of h.
func (v *visit) crossed(h string) (*crossing, error) {
	if validKey(h) {
		return v.takeCrossing(h)
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(h)
	if err != nil {
		return nil, errNoCrossing
	}
	return v.unseal("carried", v.place.origin, sealed)
}

// takeUp goes on with an answer where the browser's own cookies are at hand. In
// another browser than the one that asked it finds no pending login (B06, B07).
func (v *visit) takeUp(h string) error {
	if isPrefetch(v.r.Header) {
		return v.unauthorized()
	}
	c, err := v.crossed(h)
	switch {
	case errors.Is(err, errNoCrossing), errors.Is(err, flowsession.ErrSealed):
		return v.stale("/", "", 0)
	case err != nil:
		return v.unavailable(err)
	case c.Received == nil:
		return v.answered(c.Provider, http.MethodPost, c.Values)
	}
	if v.receiver(c.Provider) == nil { // the configuration changed on the way
		return v.stale("/", "", 0)
	}
	if c.Received.Initiated {
		return v.arrive(c)
	}
	return v.resumeCallback(c.Provider, c.Received.Handle, v.receivedBy(c))
}

// receivedBy is a verified answer as its provider's guest takes it back.
func (v *visit) receivedBy(c *crossing) flows.Callback {
	return flows.Callback{Provider: c.Provider, URL: v.callbackURL(c.Provider), Method: http.MethodPost, Received: c.Received.Answer}
}
