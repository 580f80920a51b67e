// Package samltest is a SAML identity provider for tests: it makes keys, builds,
// signs and encrypts messages, good ones and such as no honest provider sends.
// Nothing in it is shared with the guest it attacks.
package samltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Pair is a key and a certificate for it.
type Pair struct {
	Key  crypto.Signer
	Cert *x509.Certificate
}

var made sync.Map // kind and number → func() Pair

// RSA is the n-th RSA key of this process, made once: making one is slow.
func RSA(n int) Pair {
	return once(fmt.Sprint("rsa", n), func() crypto.Signer {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		must(err)
		return k
	})
}

// EC is the n-th P-256 key of this process.
func EC(n int) Pair {
	return once(fmt.Sprint("ec", n), func() crypto.Signer {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		return k
	})
}

func once(name string, key func() crypto.Signer) Pair {
	f, _ := made.LoadOrStore(name, sync.OnceValue(func() Pair {
		return Certify(key(), name, time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	}))
	return f.(func() Pair)()
}

// Certify makes a self-signed certificate for a key.
func Certify(key crypto.Signer, name string, from, to time.Time) Pair {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	return Pair{Key: key, Cert: cert}
}

// Base64 is the certificate as XML has it.
func (p Pair) Base64() string { return base64.StdEncoding.EncodeToString(p.Cert.Raw) }

// CertPEM and KeyPEM are the two as files have them.
func (p Pair) CertPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Cert.Raw}))
}

// KeyPEM is the key in PKCS #8.
func (p Pair) KeyPEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	must(err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// must: nothing here can fail in a test that is worth running.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
