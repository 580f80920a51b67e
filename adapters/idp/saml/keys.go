package saml

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

const (
	ownKeyBits = 3072
	ownKeyLife = 10 * 365 * 24 * time.Hour // of the certificate; nobody checks it, some show it
	ownKey     = "key"
)

// spKey is one of our own keys.
type spKey struct {
	Key  *rsa.PrivateKey
	Cert *x509.Certificate
}

// keyRing are the keys that were configured, or the one that was made.
type keyRing struct {
	configured []spKey
	made       atomic.Pointer[spKey]
	making     sync.Mutex
}

// spKeys are our own keys, at least one: the first signs, all decrypt.
func (s *SAML) spKeys(ctx context.Context) ([]spKey, error) {
	if len(s.keys.configured) > 0 {
		return s.keys.configured, nil
	}
	k, err := s.madeKey(ctx)
	if err != nil {
		reason := flows.ReasonInternal
		if errors.Is(err, flows.ErrUnavailable) {
			reason = flows.ReasonStoreDown
		}
		return nil, flows.Refuse(reason, fmt.Errorf("our own SAML key: %w", err))
	}
	return []spKey{*k}, nil
}

// madeKey answers the key that all nodes share; whoever needs it first makes it.
func (s *SAML) madeKey(ctx context.Context) (*spKey, error) {
	if k := s.keys.made.Load(); k != nil {
		return k, nil
	}
	k, err := s.keptKey(ctx)
	if errors.Is(err, flows.ErrNotFound) {
		k, err = s.makeKey(ctx)
	}
	if err != nil {
		return nil, err
	}
	s.keys.made.Store(k)
	return k, nil
}

// keptPair is how the store keeps it, inside of the vault's seal.
type keptPair struct {
	Key  []byte `json:"key"`  // PKCS #8
	Cert []byte `json:"cert"` // DER
}

func (s *SAML) keptKey(ctx context.Context) (*spKey, error) {
	b, err := s.vault.Get(ctx, ownKey)
	if err != nil {
		return nil, err
	}
	var p keptPair
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, errors.New("what the store keeps is no key")
	}
	key, err := x509.ParsePKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, errors.New("what the store keeps is no key")
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("what the store keeps is no RSA key")
	}
	cert, err := x509.ParseCertificate(p.Cert)
	if err != nil {
		return nil, errors.New("what the store keeps has no certificate")
	}
	return &spKey{private, cert}, nil
}

// makeKey makes one for all nodes: of two that try at once, one creates it in the
// store, and the other takes that.
func (s *SAML) makeKey(ctx context.Context) (*spKey, error) {
	s.keys.making.Lock()
	defer s.keys.making.Unlock()
	if k := s.keys.made.Load(); k != nil {
		return k, nil
	}
	private, err := rsa.GenerateKey(rand.Reader, ownKeyBits)
	if err != nil {
		return nil, err
	}
	cert, err := selfSigned(private, s.now())
	if err != nil {
		return nil, err
	}
	switch err := keepKey(ctx, s.vault, private, cert); {
	case errors.Is(err, flows.ErrExists):
		return s.keptKey(ctx)
	case err != nil:
		return nil, err
	}
	s.log.Info("made our own SAML key; the identity provider finds its certificate in our metadata", zap.String("metadata", s.source))
	k := &spKey{private, cert}
	s.keys.made.Store(k)
	return k, nil
}

// keepKey writes a key for all nodes; ErrExists: another one was first.
func keepKey(ctx context.Context, v flows.Vault, private *rsa.PrivateKey, cert *x509.Certificate) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	b, err := json.Marshal(keptPair{pkcs8, cert.Raw})
	if err != nil {
		return err
	}
	return v.Create(ctx, ownKey, b, pinnedFor)
}

func selfSigned(key *rsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "Sallyport SAML service provider"},
		NotBefore:    now.Add(-24 * time.Hour), // a provider whose clock is behind must not stumble
		NotAfter:     now.Add(ownKeyLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// loadKeys reads the configured keys.
func (s *SAML) loadKeys(repl *caddy.Replacer) error {
	for i, pair := range s.Keys {
		k, err := loadPair(repl, pair)
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		if strings.Contains(pair.Key, "-----BEGIN") {
			s.log.Warn("secret stands in the configuration and can be read at /config/; use a file, {file./…} or {env.…}", zap.String("field", "key"), zap.String("metadata", s.source))
		}
		s.keys.configured = append(s.keys.configured, *k)
	}
	return nil
}

func loadPair(repl *caddy.Replacer, pair KeyPair) (*spKey, error) {
	key, err := loadPEM(repl, pair.Key, "PRIVATE KEY")
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	private, err := rsaKey(key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	der, err := loadPEM(repl, pair.Certificate, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if !private.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the certificate belongs to another key")
	}
	return &spKey{private, cert}, nil
}

// loadPEM finds the first block whose type ends so, in a file or in the value itself.
func loadPEM(repl *caddy.Replacer, raw, suffix string) (*pem.Block, error) {
	v, err := resolve(repl, raw)
	if err != nil {
		return nil, err
	}
	if v == "" {
		return nil, errors.New("is missing")
	}
	data := []byte(v)
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		if data, err = os.ReadFile(v); err != nil {
			return nil, err
		}
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("there is no PEM %s in it", strings.ToLower(suffix))
		}
		if data = rest; strings.HasSuffix(block.Type, suffix) {
			return block, nil
		}
	}
}

func rsaKey(b *pem.Block) (*rsa.PrivateKey, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted with a password; store it without one, readable by us only")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	}
	if err != nil {
		return nil, errors.New("cannot be read as an RSA key")
	}
	private, ok := key.(*rsa.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("is %T; SAML needs RSA, with which alone assertions can be encrypted", key)
	case private.N.BitLen() < 2048:
		return nil, fmt.Errorf("has %d bits; at least 2048 are needed", private.N.BitLen())
	}
	return private, nil
}
