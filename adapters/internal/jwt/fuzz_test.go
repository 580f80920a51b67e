package jwt

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// FuzzKeys: a key document never yields a symmetric, private or weak key.
func FuzzKeys(f *testing.F) {
	b, _ := json.Marshal(map[string]any{"keys": []any{oidctest.NewKey("ES256").JWK()}})
	f.Add(b)
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	f.Add([]byte(`{"keys":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		for i := range keys {
			if !keys[i].IsPublic() || !verifies(&keys[i]) {
				t.Errorf("took a %T", keys[i].Key)
			}
		}
	})
}
