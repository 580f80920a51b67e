package outbound

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// WebhookKey reads a secret as Standard Webhooks write them: whsec_ and base64, or any
// text that is long enough.
func WebhookKey(secret string) ([]byte, error) {
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

// SignWebhook sets the headers of Standard Webhooks: an HMAC-SHA256 of id, time (in
// seconds since 1970) and body, one for each key.
func SignWebhook(h http.Header, keys [][]byte, id, at string, body []byte) {
	var all []string
	for _, k := range keys {
		m := hmac.New(sha256.New, k)
		_, _ = fmt.Fprintf(m, "%s.%s.%s", id, at, body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", strings.Join(all, " "))
}

// Confidential reports whether an address is one that people's data may travel to:
// https, or http on loopback.
func Confidential(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// Unquoted is an error of http.Client without the address, which may hold a secret.
func Unquoted(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}
