package saml

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"

// signatureMethods are the signatures that are believed: no SHA-1, no HMAC
// (SAML2Int SDP-ALG01).
var signatureMethods = map[string]x509.SignatureAlgorithm{
	dsig.RSASHA256SignatureMethod:   x509.SHA256WithRSA,
	dsig.RSASHA384SignatureMethod:   x509.SHA384WithRSA,
	dsig.RSASHA512SignatureMethod:   x509.SHA512WithRSA,
	dsig.ECDSASHA256SignatureMethod: x509.ECDSAWithSHA256,
	dsig.ECDSASHA384SignatureMethod: x509.ECDSAWithSHA384,
	dsig.ECDSASHA512SignatureMethod: x509.ECDSAWithSHA512,
}

var digestMethods = map[string]crypto.Hash{
	"http://www.w3.org/2001/04/xmlenc#sha256":       crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
	"http://www.w3.org/2001/04/xmlenc#sha512":       crypto.SHA512,
}

var canonicalizers = map[string]bool{
	string(dsig.CanonicalXML10ExclusiveAlgorithmId):             true,
	string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId): true,
}

var (
	errUnsigned = errors.New("no signature")
	errForeign  = errors.New("the signature is not that of the provider's metadata")
	errChanged  = errors.New("what was signed has been changed")
)

// verifyEnveloped verifies the signature that el carries as a child against the
// provider's certificates, one after the other, and answers what was signed:
// nothing else may be read. The keys come from metadata only: KeyInfo is not
// looked at, and how long a certificate is good says nothing (SAML2Int SDP-MD04).
// Without a signature the error is errUnsigned; a bad one is errForeign or errChanged.
func verifyEnveloped(el *etree.Element, certs []*x509.Certificate) (*etree.Element, error) {
	list := children(el, nsDsig, dsig.SignatureTag)
	switch len(list) {
	case 0:
		return nil, errUnsigned
	case 1:
	default:
		return nil, fmt.Errorf("%d signatures on one %s", len(list), el.Tag)
	}
	id, ok := attr(el, "ID")
	if !ok {
		return nil, fmt.Errorf("a signed %s without ID", el.Tag)
	}
	method, err := judgeSignature(list[0], id)
	if err != nil {
		return nil, err
	}
	value, err := signatureValue(list[0])
	if err != nil {
		return nil, err
	}
	target, verdict := signedCopy(el, list[0]), errForeign
	for _, cert := range certs {
		if !fits(cert, method) {
			continue
		}
		out, err := verifyWith(target, cert, value)
		if err == nil {
			return out, checkVerified(out, el, id)
		}
		if err.Error() == digestDiffers {
			verdict = errChanged
		}
	}
	return nil, fmt.Errorf("%s: %w", el.Tag, verdict)
}

// digestDiffers is what the library says when the signature is good and the digest is not.
const digestDiffers = "Signature could not be verified"

// judgeSignature allows one shape of signature (SAML Core §5.4): over the element
// with this ID, enveloped, exclusively canonicalised, with algorithms of the
// lists. It answers the signature method.
func judgeSignature(sig *etree.Element, id string) (string, error) {
	if err := shaped(sig, dsig.SignedInfoTag, dsig.SignatureValueTag, "?"+dsig.KeyInfoTag); err != nil {
		return "", err
	}
	info := sig.ChildElements()[0]
	if err := shaped(info, dsig.CanonicalizationMethodTag, dsig.SignatureMethodTag, dsig.ReferenceTag); err != nil {
		return "", err
	}
	parts := info.ChildElements()
	method, ref := attrOf(parts[1], "Algorithm"), parts[2]
	switch {
	case !canonicalizers[attrOf(parts[0], "Algorithm")]:
		return "", algorithm("canonicalization", parts[0])
	case signatureMethods[method] == 0 || len(parts[1].Child) != 0:
		return "", algorithm("signature", parts[1])
	case attrOf(ref, "URI") != "#"+id:
		return "", errors.New("the signature refers to something else")
	}
	if err := shaped(ref, dsig.TransformsTag, dsig.DigestMethodTag, dsig.DigestValueTag); err != nil {
		return "", err
	}
	parts = ref.ChildElements()
	if digestMethods[attrOf(parts[1], "Algorithm")] == 0 {
		return "", algorithm("digest", parts[1])
	}
	if err := shaped(parts[0], dsig.TransformTag, dsig.TransformTag); err != nil {
		return "", err
	}
	parts = parts[0].ChildElements()
	if attrOf(parts[0], "Algorithm") != enveloped || len(parts[0].ChildElements()) != 0 {
		return "", algorithm("transform", parts[0])
	}
	if !canonicalizers[attrOf(parts[1], "Algorithm")] {
		return "", algorithm("transform", parts[1])
	}
	for i, c := range parts[1].ChildElements() {
		if i > 0 || !is(c, nsExc, dsig.InclusiveNamespacesTag) {
			return "", errors.New("a transform with parameters")
		}
	}
	return method, nil
}

// shaped checks the names of all children in order; "?" in front makes the last optional.
func shaped(el *etree.Element, tags ...string) error {
	kids := el.ChildElements()
	if last := tags[len(tags)-1]; last[0] == '?' {
		tags = append(tags[:len(tags)-1:len(tags)-1], last[1:])
		if len(kids) == len(tags)-1 {
			tags = tags[:len(kids)]
		}
	}
	if len(kids) != len(tags) {
		return fmt.Errorf("a malformed signature: %d elements in %s", len(kids), el.Tag)
	}
	for i, k := range kids {
		if !is(k, nsDsig, tags[i]) {
			return fmt.Errorf("a malformed signature: %s in %s", outbound.Clip(k.Tag, 40), el.Tag)
		}
	}
	return nil
}

func algorithm(what string, el *etree.Element) error {
	return fmt.Errorf("%s algorithm %q is not allowed", what, outbound.Clip(attrOf(el, "Algorithm"), 100))
}

func signatureValue(sig *etree.Element) ([]byte, error) {
	s, err := compact(sig.ChildElements()[1])
	if err != nil {
		return nil, err
	}
	value, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(value) == 0 || len(value) > 2048 {
		return nil, errors.New("a malformed signature value")
	}
	return value, nil
}

// fits reports whether a key can have made such a signature at all.
func fits(cert *x509.Certificate, method string) bool {
	_, ec := cert.PublicKey.(*ecdsa.PublicKey)
	switch signatureMethods[method] {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return ec
	}
	return !ec
}

// signedCopy detaches an element and puts its signature in front, without
// KeyInfo: the library takes the first it finds, and where it stood changes
// nothing in what it covers.
func signedCopy(el, sig *etree.Element) *etree.Element {
	at := sig.Index()
	out := detach(el)
	own := out.Child[at].(*etree.Element)
	out.RemoveChildAt(at)
	out.InsertChildAt(0, own)
	for _, c := range own.ChildElements() {
		if is(c, nsDsig, dsig.KeyInfoTag) {
			own.RemoveChild(c)
		}
	}
	return out
}

func verifyWith(target *etree.Element, cert *x509.Certificate, value []byte) (*etree.Element, error) {
	target.ChildElements()[0].ChildElements()[1].SetText(base64.StdEncoding.EncodeToString(derSignature(value, cert)))
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	ctx.Clock = dsig.NewFakeClockAt(cert.NotBefore) // metadata vouches for the key, not the certificate
	return ctx.Validate(target)
}

// derSignature makes of an ECDSA signature as XML has it, r and s of one length
// (XML Signature §6.4.3), what x509 reads.
func derSignature(value []byte, cert *x509.Certificate) []byte {
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return value
	}
	half := (pub.Curve.Params().BitSize + 7) / 8
	if len(value) != 2*half {
		return value
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(value[:half]), new(big.Int).SetBytes(value[half:])})
	if err != nil {
		return value
	}
	return der
}

// checkVerified: what the library answers is what was asked about.
func checkVerified(out, el *etree.Element, id string) error {
	if out == nil || attrOf(out, "ID") != id || !is(out, el.NamespaceURI(), el.Tag) {
		return errors.New("the signature covers something else")
	}
	return nil
}

// verifyDetached verifies the signature of octets, as the redirect binding has
// it (SAML Bindings §3.4.4.1). Every certificate is tried.
func verifyDetached(method string, signed, value []byte, certs []*x509.Certificate) error {
	algo := signatureMethods[method]
	if algo == 0 {
		return fmt.Errorf("signature algorithm %q is not allowed", outbound.Clip(method, 100))
	}
	for _, cert := range certs {
		if !fits(cert, method) {
			continue
		}
		if cert.CheckSignature(algo, signed, derSignature(value, cert)) == nil {
			return nil
		}
	}
	return errForeign
}

// octets serialises an element as a document of its own.
func octets(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(detach(el))
	var b bytes.Buffer
	if _, err := doc.WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
