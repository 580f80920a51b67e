package jwt

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// TestParseKeys: a key verifies signatures or is passed over (RFC 7517 §5), and a
// document without one is no document: it must not replace a good one.
func TestParseKeys(t *testing.T) {
	t.Parallel()
	good := oidctest.NewKey("ES256").JWK()
	but := func(name string, v any) map[string]any {
		k := maps.Clone(good)
		if k[name] = v; v == nil {
			delete(k, name)
		}
		return k
	}
	rsa := func(bytes int) map[string]any {
		n := append([]byte{0xc1}, make([]byte, bytes-1)...)
		return map[string]any{"kty": "RSA", "e": "AQAB", "kid": "r", "n": base64.RawURLEncoding.EncodeToString(append(n[:bytes-1], 1))}
	}
	for _, tc := range []struct {
		name string
		keys []any
		want int
		err  string
	}{
		{"good", []any{good}, 1, ""},
		{"no use", []any{but("use", nil)}, 1, ""},
		{"for encryption", []any{but("use", "enc")}, 0, "no usable key"},
		{"no alg", []any{but("alg", nil)}, 1, ""},
		{"symmetric alg", []any{but("alg", "HS256")}, 0, "no usable key"},
		{"alg none", []any{but("alg", "none")}, 0, "no usable key"},
		{"private", []any{but("d", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE")}, 0, "no usable key"},
		{"symmetric", []any{map[string]any{"kty": "oct", "k": "AAAA", "kid": "o"}}, 0, "no usable key"},
		{"unknown curve", []any{but("crv", "secp256k1")}, 0, "no usable key"},
		{"RSA of 2048 bits", []any{rsa(256)}, 1, ""},
		{"RSA of 2040 bits", []any{rsa(255)}, 0, "no usable key"},
		{"good among others", []any{but("use", "enc"), rsa(64), good, 7, "x"}, 1, ""},
		{"as many as are read", slices.Repeat([]any{good}, maxKeys), maxKeys, ""},
		{"too many", slices.Repeat([]any{good}, maxKeys+1), 0, "101 keys, at most 100 are read"},
		{"none", []any{}, 0, "no usable key"},
	} {
		b, err := json.Marshal(map[string]any{"keys": tc.keys})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := parseKeys(b)
		if len(keys) != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %d keys, %v; want %d, %q", tc.name, len(keys), err, tc.want, tc.err)
		}
	}
	if _, err := parseKeys([]byte("<html>")); err == nil {
		t.Error("a page was read as keys")
	}
}
