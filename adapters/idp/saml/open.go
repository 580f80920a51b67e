package saml

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// errSealed is every failure between decrypting and believing a signature: who
// changes a ciphertext must not learn how far it came (S10; Jager and Somorovsky
// decrypted XML by such answers).
var errSealed = errors.New("the encrypted assertion cannot be opened: it was not made for a key of ours, was changed, or does not bear the provider's signature")

// openAssertion decrypts an assertion and verifies its own signature. With vouched
// the answer around it bore a good one, so it may lack its own, and no stranger
// chose the ciphertext. Its error says nothing but errSealed.
func openAssertion(s sealed, keys []spKey, certs []*x509.Certificate, vouched bool) (*etree.Element, error) {
	plain, ok := s.open(keys)
	w := opening{size: len(plain), certs: certs}
	el, err := w.verify(plain, vouched)
	if err != nil || !ok {
		if !vouched {
			w.even()
		}
		return nil, errSealed
	}
	return el, nil
}

// opening notes how far the work on a plaintext came.
type opening struct {
	size, scanned int
	root          *etree.Element
	checked       bool // a signature met the keys
	digested      bool // and was good, so that the digest was made
	certs         []*x509.Certificate
}

func (w *opening) verify(plain []byte, vouched bool) (*etree.Element, error) {
	s := newScanner(messageLimits)
	n, err := s.scan(plain)
	w.scanned = n
	if err != nil {
		return nil, err
	}
	doc, err := s.tree(plain)
	if err != nil {
		return nil, err
	}
	w.root = doc.root
	if err := loneAssertion(doc); err != nil {
		return nil, err
	}
	el, err := verifyEnveloped(doc.root, w.certs)
	if vouched && errors.Is(err, errUnsigned) {
		return doc.root, nil
	}
	w.digested = errors.Is(err, errChanged)
	w.checked = w.digested || errors.Is(err, errForeign)
	return el, err
}

// even does what is left of the work of an opening that failed early, on a decoy,
// so that all failures take the same time.
func (w *opening) even() {
	if w.root == nil {
		_, _ = newScanner(messageLimits).scan(decoy(w.size - w.scanned))
		w.scanned = w.size
		doc, err := newScanner(messageLimits).tree(decoy(w.size - decoySignatureSize))
		if err != nil {
			return
		}
		w.root = doc.root
	}
	if !w.checked && len(w.certs) > 0 {
		w.check()
	}
	if !w.digested {
		w.digested = true
		_, _ = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(w.root.Copy())
	}
}

// check verifies a signature on the root that this provider never made.
func (w *opening) check() {
	for _, sig := range children(w.root, nsDsig, dsig.SignatureTag) {
		w.root.RemoveChild(sig)
	}
	sig := etree.NewDocument()
	if sig.ReadFromString(decoySignature(w.certs[0])) != nil || sig.Root() == nil {
		return
	}
	w.checked = true
	w.root.CreateAttr("ID", "_decoy")
	w.root.InsertChildAt(0, sig.Root())
	_, _ = verifyEnveloped(w.root, w.certs)
}

const (
	decoyHead = `<a:Assertion xmlns:a="` + nsSAML + `" ID="_decoy"><a:AttributeStatement>`
	decoyTail = `</a:AttributeStatement></a:Assertion>`
	decoyRow  = `<a:AttributeValue Name="attribute">of usual length, or somewhat longer than that</a:AttributeValue>`

	decoySignatureSize = 1200
)

// decoy is a document of about n bytes that reads like an assertion.
func decoy(n int) []byte {
	rows := (n - len(decoyHead) - len(decoyTail)) / len(decoyRow)
	return []byte(decoyHead + strings.Repeat(decoyRow, max(rows, 0)) + decoyTail)
}

// decoySignature is one that this key never made.
func decoySignature(cert *x509.Certificate) string {
	method, n := dsig.RSASHA256SignatureMethod, 256
	switch pub := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		method, n = dsig.ECDSASHA256SignatureMethod, 2*((pub.Curve.Params().BitSize+7)/8)
	case interface{ Size() int }:
		n = pub.Size()
	}
	value := make([]byte, n)
	_, _ = rand.Read(value)
	value[0] &= 0x7f // below the modulus, else it is refused before any work
	return `<ds:Signature xmlns:ds="` + nsDsig + `"><ds:SignedInfo>` +
		`<ds:CanonicalizationMethod Algorithm="` + nsExc + `"/><ds:SignatureMethod Algorithm="` + method + `"/>` +
		`<ds:Reference URI="#_decoy"><ds:Transforms><ds:Transform Algorithm="` + enveloped + `"/><ds:Transform Algorithm="` + nsExc + `"/></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ds:DigestValue></ds:Reference></ds:SignedInfo>` +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue></ds:Signature>`
}
