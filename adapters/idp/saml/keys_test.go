package saml

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func xmlUnmarshal(b []byte, v any) error { return xml.Unmarshal(b, v) }

func pemPair(t *testing.T, k peerKey) KeyPair {
	t.Helper()
	return KeyPair{
		Key:         writePEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.key)),
		Certificate: writePEM(t, "CERTIFICATE", k.cert.Raw),
	}
}

func writePEM(t *testing.T, typ string, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Our key is made once, whichever node needs it first, and is the same after a
// restart. Nothing is made before it is needed.
func TestKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	node := func(entity string) *SAML {
		s := &SAML{Metadata: filepath.Join(t.TempDir(), "idp.xml"), EntityID: entity}
		provision(t, s)
		if err := s.Bind(reg); err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two := node("urn:one"), node("urn:two")
	if n := reg.VaultOf("saml").Writes(); n != 0 {
		t.Errorf("%d writes before a key was needed", n)
	}
	type answer struct {
		keys []spKey
		err  error
	}
	answers := make(chan answer, 4)
	for _, s := range []*SAML{one, two, one, two} {
		go func() {
			keys, err := s.spKeys(t.Context())
			answers <- answer{keys, err}
		}()
	}
	var all []spKey
	for range 4 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		all = append(all, a.keys...)
	}
	again, err := node("urn:restarted").spKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(all, again...) {
		if !k.Key.Equal(all[0].Key) || !k.Cert.Equal(all[0].Cert) {
			t.Error("two nodes have two keys")
		}
	}
	k := all[0]
	if k.Key.N.BitLen() != ownKeyBits || !k.Key.PublicKey.Equal(k.Cert.PublicKey) || k.Cert.NotAfter.Before(flowstest.Start.AddDate(9, 0, 0)) {
		t.Errorf("%d bits, good until %s", k.Key.N.BitLen(), k.Cert.NotAfter)
	}
	if n := reg.VaultOf("saml").Writes(); n != 1 {
		t.Errorf("%d writes", n)
	}
	reg.VaultOf("saml").SetDown(true)
	if _, err := one.spKeys(t.Context()); err != nil {
		t.Errorf("a known key needs the store: %v", err)
	}
	if _, err := node("urn:late").spKeys(t.Context()); flows.ReasonOf(err) != flows.ReasonStoreDown {
		t.Errorf("with the store down: %v", err)
	}
}

func TestConfiguredKeys(t *testing.T) {
	t.Parallel()
	first, second := pemPair(t, testKeys()[0]), pemPair(t, testKeys()[1])
	pkcs8, err := x509.MarshalPKCS8PrivateKey(testKeys()[1].key)
	if err != nil {
		t.Fatal(err)
	}
	second.Key = writePEM(t, "PRIVATE KEY", pkcs8)
	reg := flowstest.NewRegistry()
	s := &SAML{Metadata: "/nowhere", Keys: []KeyPair{first, {Key: "{file." + second.Key + "}", Certificate: second.Certificate}}}
	provision(t, s)
	if err := s.Bind(reg); err != nil {
		t.Fatal(err)
	}
	keys, err := s.spKeys(t.Context())
	if err != nil || len(keys) != 2 || !keys[0].Key.Equal(testKeys()[0].key) || !keys[1].Key.Equal(testKeys()[1].key) {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if reg.VaultOf("saml").Writes() != 0 {
		t.Error("a key was made beside the configured ones")
	}
}

func TestConfiguredKeyErrors(t *testing.T) {
	t.Parallel()
	good := pemPair(t, testKeys()[0])
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		pair       KeyPair
	}{
		{"no file", "no such file", KeyPair{Key: "/nowhere/at/all", Certificate: good.Certificate}},
		{"unknown placeholder", "unrecognized placeholder", KeyPair{Key: "{nothing.of.this}", Certificate: good.Certificate}},
		{"no certificate", "certificate: is missing", KeyPair{Key: good.Key}},
		{"certificate for key", "no PEM private key", KeyPair{Key: good.Certificate, Certificate: good.Certificate}},
		{"key for certificate", "no PEM certificate", KeyPair{Key: good.Key, Certificate: good.Key}},
		{"another's certificate", "belongs to another key", KeyPair{Key: good.Key, Certificate: pemPair(t, testKeys()[1]).Certificate}},
		{"elliptic", "SAML needs RSA", KeyPair{Key: writePEM(t, "PRIVATE KEY", ecDER), Certificate: good.Certificate}},
		{"short", "has 1024 bits", KeyPair{Key: writePEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), Certificate: good.Certificate}},
		{"with a password", "is encrypted with a password", KeyPair{Key: writePEM(t, "ENCRYPTED PRIVATE KEY", []byte("x")), Certificate: good.Certificate}},
		{"garbage", "cannot be read as an RSA key", KeyPair{Key: writePEM(t, "PRIVATE KEY", []byte("x")), Certificate: good.Certificate}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &SAML{Metadata: "/nowhere", Keys: []KeyPair{good, tc.pair}}
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			err := s.Provision(ctx)
			if err == nil || !strings.HasPrefix(err.Error(), "key 2: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestProvisionErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		s          *SAML
	}{
		{"no metadata", "metadata is required", &SAML{}},
		{"http", "plain http is for loopback only", &SAML{Metadata: "http://idp.example/metadata"}},
		{"no host", "no URL with a host", &SAML{Metadata: "https:///metadata"}},
		{"user", "no user or fragment", &SAML{Metadata: "https://a:b@idp.example/metadata"}},
		{"ftp", "must begin with https:// or be a file", &SAML{Metadata: "ftp://idp.example/metadata"}},
		{"unset", "metadata: ", &SAML{Metadata: "{env.SAML_TEST_NOT_SET}"}},
		{"entity", "entity_id is longer", &SAML{Metadata: "/idp.xml", EntityID: "a b"}},
		{"skew", "clock_skew must be between", &SAML{Metadata: "/idp.xml", ClockSkew: caddy.Duration(time.Hour)}},
		{"attribute", "cannot be mapped", &SAML{Metadata: "/idp.xml", Attributes: map[string]string{"realm": "o"}}},
		{"nameless", "the SAML attribute's name is missing", &SAML{Metadata: "/idp.xml", Attributes: map[string]string{"email": " "}}},
		{"context", "is one word", &SAML{Metadata: "/idp.xml", AuthnContext: []string{"a b"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			defer cancel()
			err := tc.s.Provision(ctx)
			if err == nil {
				err = tc.s.Validate()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err := tc.s.Cleanup(); err != nil {
				t.Error(err)
			}
		})
	}
}
