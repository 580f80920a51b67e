package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const maxDepth = 32

// Object parses a JSON object in which no key stands twice, at any depth,
// and no top-level key is a protocol claim in other letters: encoding/json takes
// the last of either, other parsers the first, and so two readers of one signed
// token would see two people.
func Object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) { // the parser would make one character of all broken ones
		return nil, errors.New("JSON is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := unique(d, 0); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	var out map[string]any
	d = json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil || out == nil {
		return nil, errors.New("not a JSON object")
	}
	for k, v := range out {
		if c := imitated(k); c != "" {
			return nil, fmt.Errorf("claim %q imitates %q", outbound.Clip(k, 40), c)
		}
		out[k] = exact(v)
	}
	return out, nil
}

// imitated is the protocol claim that a struct's decoder takes a name for; it
// folds letters as Unicode does, so that ſub is sub.
func imitated(name string) string {
	for _, c := range protocolClaims {
		if name != c && strings.EqualFold(name, c) {
			return c
		}
	}
	return ""
}

// exact makes a float64 of a number that it holds, and keeps the digits of a
// longer one: rounded, an employee number of 17 digits is somebody else's.
// Written with a point or an exponent it was a measure, not a number of something.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && (math.Abs(f) < 1<<53 || strings.ContainsAny(v.String(), ".eE")) {
			return f
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

func unique(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return errors.New("JSON nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return errors.New("malformed JSON")
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			k, err := d.Token()
			if err != nil {
				return errors.New("malformed JSON")
			}
			name, _ := k.(string)
			if seen[name] {
				return fmt.Errorf("JSON key %q stands twice", outbound.Clip(name, 40))
			}
			seen[name] = true
		}
		if err := unique(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("malformed JSON")
	}
	return nil
}

// protocolClaims say something about the token, not about the person: UserInfo
// cannot change them and they are no attributes of their own.
var protocolClaims = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "azp", "at_hash", "c_hash", "s_hash",
	"auth_time", "acr", "amr", "sid", "typ", "events", "_claim_names", "_claim_sources",
}

// Protocol reports a claim that says something about the token.
func Protocol(name string) bool { return slices.Contains(protocolClaims, name) }

// Type is the typ header (RFC 8725 §3.11) in one spelling.
func Type(jwt string) (string, error) {
	head, _, _ := strings.Cut(jwt, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", errors.New("malformed token header")
	}
	h, err := Object(b)
	if err != nil {
		return "", fmt.Errorf("token header: %w", err)
	}
	v, there := h["typ"]
	typ, ok := v.(string)
	if there && !ok {
		return "", errors.New("token header: typ is no text")
	}
	return strings.TrimPrefix(strings.ToLower(typ), "application/"), nil
}

// Instant reads a NumericDate. What does not fit a clock is none.
func Instant(v any) (time.Time, bool) {
	f, ok := v.(float64)
	if !ok || math.IsNaN(f) || f <= 0 || f > 1<<40 {
		return time.Time{}, false
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*1e9)), true
}
