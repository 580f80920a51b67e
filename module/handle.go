package module

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// stateToken is what the sealed `state` carries through a provider: it finds
// the pending login, and where to go when that is gone (B06).
type stateToken struct {
	Pending  string `json:"i"`
	Serial   int    `json:"n"`
	Provider string `json:"p"`
	ReturnTo string `json:"r,omitempty"`
	Saved    string `json:"k,omitempty"`
	Attempt  int    `json:"a,omitempty"`
	Expires  int64  `json:"e"`
}

func (v *visit) sealState(s stateToken) (string, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	sealed, err := k.Seal("state", v.place.origin, b)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openHandle reads either kind of handle.
func (v *visit) openHandle(text string) (stateToken, error) {
	if s, ok, err := v.openShort(text); ok || err != nil {
		return s, err
	}
	return v.openState(text)
}

func (v *visit) openState(text string) (stateToken, error) {
	var s stateToken
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return s, err
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > 8192 {
		return s, flowsession.ErrSealed
	}
	b, err := k.Open("state", v.place.origin, raw)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// A RelayState holds 80 bytes at most (SAML Bindings §3.4.3), so it only names the
// pending login; what binds the answer to it is the InResponseTo in its private
// state. It is never an address, and never followed.

// shortHandle is <pending login>-<serial>-<attempt>-<seal>. The attempt is sealed
// so that a login loop is seen also where no cookie comes back (B08).
func (v *visit) shortHandle(id string, serial, attempt int) (string, error) {
	text := fmt.Sprintf("%s-%d-%d", id, serial, attempt)
	seals, err := v.handleSeals(text)
	if err != nil {
		return "", err
	}
	return text + "-" + seals[0], nil
}

func (v *visit) handleSeals(text string) ([]string, error) {
	k, err := v.app.keys.ring(v.r.Context())
	if err != nil {
		return nil, err
	}
	return k.Hashes("short handle", v.place.origin+"\x00"+text)
}

// openShort reads a short handle; false: it is none of ours.
func (v *visit) openShort(handle string) (stateToken, bool, error) {
	var s stateToken
	f := strings.SplitN(handle, "-", 4)
	if len(handle) > 80 || len(f) != 4 || !validPendingID(f[0]) {
		return s, false, nil
	}
	seals, err := v.handleSeals(strings.Join(f[:3], "-"))
	if err != nil {
		return s, false, err
	}
	ours := 0
	for _, seal := range seals {
		ours |= subtle.ConstantTimeCompare([]byte(seal), []byte(f[3]))
	}
	if ours == 0 {
		return s, false, nil
	}
	s.Pending, s.ReturnTo = f[0], "/"
	s.Serial, err = strconv.Atoi(f[1])
	if err == nil {
		s.Attempt, err = strconv.Atoi(f[2])
	}
	return s, err == nil, nil
}
