package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// rsaBits is the size of an RSA key: the least that RFC 7518 §3.3 allows, and what
// verifiers of small devices still take.
const rsaBits = 2048

// key signs for one period.
type key struct {
	flows.PublicKey
	period int64
	// made is when it came to be: verifiers had no chance to know it before.
	made   time.Time
	signer crypto.Signer
}

// stored is a key as the vault keeps it.
type stored struct {
	Made time.Time `json:"made"`
	// Key is PKCS #8 (RFC 5958).
	Key []byte `json:"key"`
}

// generate makes a private key.
func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case "EdDSA":
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	return nil, fmt.Errorf("no algorithm is called '%s'", algorithm)
}

// newStored makes a key as the vault keeps it.
func newStored(algorithm string, made time.Time) ([]byte, error) {
	s, err := generate(algorithm)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(s)
	if err != nil {
		return nil, err
	}
	return json.Marshal(stored{made, der})
}

// parse makes a key of what the vault has.
func parse(algorithm string, period int64, b []byte) (*key, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(s.Key)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(crypto.Signer)
	if !ok || !fits(algorithm, signer) {
		return nil, fmt.Errorf("a %T is no key of %s", private, algorithm)
	}
	k := &key{period: period, made: s.Made, signer: signer}
	k.Algorithm, k.Key = algorithm, signer.Public()
	k.ID, err = keyID(k.PublicKey)
	return k, err
}

func fits(algorithm string, s crypto.Signer) bool {
	switch k := s.(type) {
	case *ecdsa.PrivateKey:
		return algorithm == "ES256" && k.Curve == elliptic.P256()
	case *rsa.PrivateKey:
		return algorithm == "RS256"
	case ed25519.PrivateKey:
		return algorithm == "EdDSA"
	}
	return false
}

// keyID is the key's thumbprint (RFC 7638) in the form of a UUID (RFC 9562 §5.8):
// some verifiers take nothing else.
func keyID(k flows.PublicKey) (string, error) {
	jwk := k.JWK()
	if jwk == nil {
		return "", errors.New("the key has no JWK")
	}
	required := map[string]string{}
	for _, name := range []string{"crv", "e", "kty", "n", "x", "y"} {
		if v, ok := jwk[name]; ok {
			required[name] = v
		}
	}
	b, err := json.Marshal(required) // members in order, as §3.2 wants it
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	h := hex.EncodeToString(id)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// sign signs the input of a JWS (RFC 7515 §5.1).
func (k *key) sign(input []byte) ([]byte, error) {
	sum := sha256.Sum256(input)
	switch s := k.signer.(type) {
	case *ecdsa.PrivateKey: // r and s side by side (RFC 7518 §3.4)
		r, v, err := ecdsa.Sign(rand.Reader, s, sum[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		v.FillBytes(out[32:])
		return out, nil
	case ed25519.PrivateKey: // the message itself (RFC 8037 §3.1)
		return ed25519.Sign(s, input), nil
	}
	return k.signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}
