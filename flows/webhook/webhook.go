// Package webhook signs what the gateway posts to services of an operator's own, and
// verifies what they sign, as Standard Webhooks do: an HMAC-SHA256 of id, time and body.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// The headers.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// tolerance is how far a service's clock may be off.
const tolerance = 5 * time.Minute

// Keys sign beside each other, so that one can be replaced.
type Keys [][]byte

// ParseKey reads a secret as Standard Webhooks write them: whsec_ and base64, or any
// text that is long enough. No error holds any of it.
func ParseKey(secret string) ([]byte, error) {
	key := []byte(secret)
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("a secret begins with whsec_ but is no base64 behind it")
		}
		key = b
	}
	if len(key) < 16 {
		return nil, fmt.Errorf("a secret has %d bytes; 16 or more are needed", len(key))
	}
	return key, nil
}

// ParseKeys reads secrets, once resolve has put in what their placeholders stand for.
func ParseKeys(secrets []string, resolve func(string) (string, error)) (Keys, error) {
	var keys Keys
	for _, s := range secrets {
		text, err := resolve(s)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		key, err := ParseKey(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func mac(key []byte, id, at string, body []byte) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(m, "%s.%s.%s", id, at, body)
	return m.Sum(nil)
}

// Sign sets the headers of a message.
func (k Keys) Sign(h http.Header, id string, now time.Time, body []byte) {
	at := strconv.FormatInt(now.Unix(), 10)
	var all []string
	for _, key := range k {
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac(key, id, at, body)))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, at)
	h.Set(HeaderSignature, strings.Join(all, " "))
}

// Verify reports whether one of the keys signed a message with this id, not long ago.
func (k Keys) Verify(h http.Header, id string, now time.Time, body []byte) error {
	at := h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return errors.New("its signature is not of now")
	}
	for one := range strings.FieldsSeq(h.Get(HeaderSignature)) {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "v1,"))
		for _, key := range k {
			if err == nil && strings.HasPrefix(one, "v1,") && hmac.Equal(sum, mac(key, id, at, body)) {
				return nil
			}
		}
	}
	return errors.New("its signature is wrong")
}

// Usable wants TLS, since people travel there: http:// is for loopback only.
func Usable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	return u.Scheme == "https" || outbound.Loopback(u.Hostname())
}
