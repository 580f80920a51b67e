package samltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	_ "crypto/sha1" //nolint:gosec // hostile messages are signed with it
	"crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// The namespaces of SAML, XML Signature and XML Encryption.
const (
	NSAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	NSProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	NSDsig      = "http://www.w3.org/2000/09/xmldsig#"
	NSEnc       = "http://www.w3.org/2001/04/xmlenc#"
	ExcC14N     = "http://www.w3.org/2001/10/xml-exc-c14n#"
	Enveloped   = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// Signature and digest algorithms, allowed and not.
const (
	RSASHA1    = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
	RSASHA256  = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	RSASHA384  = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
	RSASHA512  = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	ECSHA256   = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	ECSHA384   = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
	ECSHA512   = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512"
	HMACSHA256 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
	SHA1       = "http://www.w3.org/2000/09/xmldsig#sha1"
	SHA256     = "http://www.w3.org/2001/04/xmlenc#sha256"
	SHA384     = "http://www.w3.org/2001/04/xmldsig-more#sha384"
	SHA512     = "http://www.w3.org/2001/04/xmlenc#sha512"
)

var hashes = map[string]crypto.Hash{
	RSASHA1: crypto.SHA1, RSASHA256: crypto.SHA256, RSASHA384: crypto.SHA384, RSASHA512: crypto.SHA512,
	ECSHA256: crypto.SHA256, ECSHA384: crypto.SHA384, ECSHA512: crypto.SHA512,
	SHA1: crypto.SHA1, SHA256: crypto.SHA256, SHA384: crypto.SHA384, SHA512: crypto.SHA512,
}

// Signing says how something is signed. The zero value but for Pair is RSA-SHA256
// with the certificate in KeyInfo.
type Signing struct {
	Pair
	Method, Digest string
	// KeyInfo is the element as text; "-" for none, "" for the certificate.
	KeyInfo string
	// HMAC is the key of an HMAC signature, with Method HMACSHA256.
	HMAC []byte
	// Transforms in the place of enveloped and exclusive canonicalisation.
	Transforms string
	// Prefixes are an InclusiveNamespaces list of that canonicalisation.
	Prefixes string
	// Canonicalization of SignedInfo in the place of the exclusive one.
	Canonicalization string
}

func (s Signing) method() string {
	if s.Method != "" {
		return s.Method
	}
	if _, ok := s.Key.(*ecdsa.PrivateKey); ok {
		return ECSHA256
	}
	return RSASHA256
}

func (s Signing) digest() string {
	if s.Digest != "" {
		return s.Digest
	}
	return SHA256
}

// Canonical is a document exclusively canonicalised.
func Canonical(doc string) []byte { return canonical(doc, "") }

func canonical(doc, prefixes string) []byte {
	d := etree.NewDocument()
	must(d.ReadFromString(doc))
	out, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(prefixes).Canonicalize(d.Root())
	must(err)
	return out
}

// Reference is a ds:Reference to an element as it is before it is signed.
func (s Signing) Reference(id, doc string) string {
	transforms := s.Transforms
	if transforms == "" {
		transforms = `<ds:Transform Algorithm="` + Enveloped + `"></ds:Transform><ds:Transform Algorithm="` + ExcC14N + `">` + s.inclusive() + `</ds:Transform>`
	}
	return fmt.Sprintf(`<ds:Reference URI="#%s"><ds:Transforms>%s</ds:Transforms><ds:DigestMethod Algorithm="%s"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>`,
		id, transforms, s.digest(), hashed(s.digest(), canonical(doc, s.Prefixes)))
}

func (s Signing) inclusive() string {
	if s.Prefixes == "" {
		return ""
	}
	return `<ec:InclusiveNamespaces xmlns:ec="` + ExcC14N + `" PrefixList="` + s.Prefixes + `"></ec:InclusiveNamespaces>`
}

func hashed(alg string, b []byte) string {
	h := hashes[alg].New()
	h.Write(b)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Over is a ds:Signature over these references.
func (s Signing) Over(references string) string {
	c14n := s.Canonicalization
	if c14n == "" {
		c14n = ExcC14N
	}
	info := `<ds:SignedInfo xmlns:ds="` + NSDsig + `"><ds:CanonicalizationMethod Algorithm="` + c14n + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + s.method() + `"></ds:SignatureMethod>` + references + `</ds:SignedInfo>`
	value := base64.StdEncoding.EncodeToString(s.Raw(Canonical(info)))
	key := s.KeyInfo
	if key == "" {
		key = s.X509()
	}
	if key == "-" {
		key = ""
	}
	return `<ds:Signature xmlns:ds="` + NSDsig + `">` + strings.Replace(info, ` xmlns:ds="`+NSDsig+`"`, "", 1) +
		`<ds:SignatureValue>` + value + `</ds:SignatureValue>` + key + `</ds:Signature>`
}

// X509 is a KeyInfo with the certificate.
func (s Signing) X509() string {
	return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + s.Base64() + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
}

// Raw signs octets as XML Signature has it: ECDSA as r and s of one length.
func (s Signing) Raw(b []byte) []byte {
	if s.HMAC != nil {
		m := hmac.New(sha256.New, s.HMAC)
		m.Write(b)
		return m.Sum(nil)
	}
	hash := hashes[s.method()]
	h := hash.New()
	h.Write(b)
	if ec, ok := s.Key.(*ecdsa.PrivateKey); ok {
		r, t, err := ecdsa.Sign(rand.Reader, ec, h.Sum(nil))
		must(err)
		n := (ec.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, n)), t.FillBytes(make([]byte, n))...)
	}
	out, err := s.Key.Sign(rand.Reader, h.Sum(nil), hash)
	must(err)
	return out
}

// Sign signs a document whose root has this ID, behind its first Issuer.
func (s Signing) Sign(doc, id string) string {
	return behindIssuer(doc, s.Over(s.Reference(id, doc)))
}

// behindIssuer puts something where the schema wants a signature.
func behindIssuer(doc, what string) string {
	const end = "</saml:Issuer>"
	i := strings.Index(doc, end) + len(end)
	return doc[:i] + what + doc[i:]
}
