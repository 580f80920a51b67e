package module

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// A form that comes when its person has to prove something first is kept on this
// node until they have, and then sent as it was (I21). Here it is taken in and
// opened; resend.go sends it on. Its key is in a cookie of the browser that sent it
// and nowhere else, so what lies in memory is nothing to anybody without it.

// The limits of preserve_post.
const (
	defaultPreserve = 256 << 10
	// MaxPreserve is a quarter of what a node keeps of all people.
	MaxPreserve = session.HeldBytes / 4
)

// heldRequest is what is kept of a request, sealed.
type heldRequest struct {
	// User is whose it is: nobody else's session sends it.
	User   flows.UserKey `json:"u"`
	Method string        `json:"m"`
	// Target is path and query as they stood in the request line.
	Target string            `json:"t"`
	Header map[string]string `json:"h"`
	// Approval is the step_up's that the request waited for, "" for none.
	Approval string `json:"a,omitempty"`

	body []byte
}

// maxPage is the longest address of a form's page that its cookie keeps.
const maxPage = 512

// heldHeaders say what a body is and which page it came from; all others are those
// of the request that sends it on, which is the same browser's.
var heldHeaders = []string{"Content-Type", "Referer", "Origin"}

// tooLongToKeep is the cause of a page that says so.
const tooLongToKeep = "too_long_to_keep"

// errNotHeld says that a request may not be kept; one that is too long is a Refusal.
var errNotHeld = errors.New("the request is not kept")

// The errors of openHeld.
var (
	errHeldGone = errors.New("nothing is kept under this key")
	errHeldUsed = errors.New("what was kept was sent")
)

// hold keeps this request until its person has proved what is asked. The caller goes
// on with startLogin(login{…, returnTo: v.wanted(), saved: key}): wherever that run
// ends, on another host or in another tab too, the browser comes to the page that
// sends the request again, and ServeHTTP finds v.replay with the approval.
//
// user is who must be signed in then, browser the public id of the session that the
// request showed a ticket of (lastKnown), approval what a step_up binds to it. A
// request that another site's page made is refused, and nothing of it is read (I21).
func (v *visit) hold(user flows.UserKey, browser, approval string) (key string, err error) {
	key, err = v.takeIn(user, browser, approval)
	outcome := "kept"
	if err != nil {
		outcome = "refused"
	}
	v.app.shared.metrics.held.WithLabelValues(outcome).Inc()
	return key, err
}

func (v *visit) takeIn(user flows.UserKey, browser, approval string) (key string, err error) {
	limit, target := v.p.preserve, v.target()
	switch {
	case limit == 0 || user == "" || browser == "":
		return "", errNotHeld
	case !v.sameOrigin() || !isNavigation(v.r):
		return "", errNotHeld
	case len(v.r.Header["Content-Encoding"]) > 0 || len(target) > maxReturn || !plainTarget(target):
		return "", errNotHeld
	}
	room := v.r.ContentLength
	if room < 0 {
		room = limit
	}
	area, id := v.app.shared.held, newID()
	if room <= limit && !area.Reserve(id, browser, room) {
		return "", fmt.Errorf("%w: no room", errNotHeld)
	}
	h := heldRequest{User: user, Method: v.r.Method, Target: target, Header: map[string]string{}, Approval: approval}
	for _, name := range heldHeaders {
		if s := v.r.Header.Get(name); s != "" {
			h.Header[name] = s
		}
	}
	if h.body, err = v.wholeBody(limit); err == nil {
		err = v.keep(id, &h)
	}
	if err != nil {
		area.Drop(id)
		return "", err
	}
	return id, nil
}

// target is path and query as they stood in the request line.
func (v *visit) target() string {
	from := originalOf(v.r)
	if strings.HasPrefix(from.uri, "/") {
		return from.uri
	}
	return from.url.RequestURI()
}

// plainTarget reports whether a form that leads there comes to this origin: browsers
// take two slashes for another host.
func plainTarget(t string) bool {
	return len(t) > 0 && t[0] == '/' && !strings.HasPrefix(t, "//") && !strings.ContainsRune(t, '\\')
}

// keep seals a request with a key of its own and gives the key to the browser.
func (v *visit) keep(id string, h *heldRequest) error {
	var key [32]byte
	_, _ = rand.Read(key[:])
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	aead, err := heldCipher(key[:])
	if err != nil {
		return err
	}
	plain := make([]byte, 0, len(head)+1+len(h.body)+aead.Overhead())
	plain = append(append(append(plain, head...), '\n'), h.body...) // no JSON of ours has a line break in it
	sealed := aead.Seal(plain[:0], make([]byte, aead.NonceSize()), plain, v.heldData(id))
	if !v.app.shared.held.Keep(id, sealed) {
		return errNotHeld
	}
	page := v.page()
	if len(page) > maxPage {
		page = "/"
	}
	encode := base64.RawURLEncoding.EncodeToString
	v.sideCookie(v.heldName(id), encode(key[:])+"."+encode([]byte(page)), "/", int(session.HeldFor.Seconds()))
	return nil
}

// heldCipher is for a key that seals once, with the same nonce therefore.
func heldCipher(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func (v *visit) heldData(id string) []byte { return []byte("held " + v.place.origin + " " + id) }

func (v *visit) heldName(id string) string { return v.sideName("h" + id) }

// holds reports whether this browser sent something that is kept under an id; page
// is where its form was.
func (v *visit) holds(id string) (key []byte, page string, ok bool) {
	k, p, ok := strings.Cut(v.sideValue(v.heldName(id)), ".")
	key, err := base64.RawURLEncoding.DecodeString(k)
	if !ok || err != nil || len(key) != 32 {
		return nil, "/", false
	}
	from, _ := base64.RawURLEncoding.DecodeString(p)
	return key, v.returnTo(string(from)), true
}

// openHeld reads what this browser sent, and uses nothing up.
func (v *visit) openHeld(id string) (*heldRequest, error) {
	key, _, ok := v.holds(id)
	sealed, used := v.app.shared.held.Get(id)
	switch {
	case used: // its cookie is gone, too
		return nil, errHeldUsed
	case !ok || sealed == nil:
		return nil, errHeldGone
	}
	aead, err := heldCipher(key)
	if err != nil {
		return nil, errHeldGone
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, v.heldData(id))
	if err != nil {
		return nil, errHeldGone
	}
	head, body, _ := bytes.Cut(plain, []byte{'\n'})
	h := &heldRequest{body: body}
	if err := json.Unmarshal(head, h); err != nil {
		return nil, errHeldGone
	}
	return h, nil
}
