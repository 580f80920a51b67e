package samltest

import (
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// wrapping are the signatures over something else than what is read (S1).
func wrapping() []Case {
	const s = "S1"
	many, place, nested := "assertions in one answer", "an assertion in the wrong place", "a Response inside of a Response"
	body := func(name, why string, f func(r *Response, signed string) string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) {
			r.Body = func(signed string) string { return f(r, signed) }
		})
	}
	ext := func(x string) func(string) string {
		return Swap("<samlp:Status>", "<samlp:Extensions>"+x+"</samlp:Extensions><samlp:Status>")
	}
	return []Case{
		text(s, "xsw1-response-in-signature", many, func(b *Bench) string {
			r := b.Good()
			r.Sign = b.IDP.Signing()
			signed := r.XML()
			sig := signatureOf(signed)
			r.Sign, r.ID = nil, "_evil"
			r.Body = func(string) string { return evil(r, "_evilassertion") }
			whole := strings.Replace(sig, "</ds:Signature>", strings.Replace(signed, sig, "", 1)+"</ds:Signature>", 1)
			return behindIssuer(r.XML(), whole)
		}),
		text(s, "xsw2-response-beside-signature", many, func(b *Bench) string {
			r := b.Good()
			r.Sign = b.IDP.Signing()
			signed := r.XML()
			sig := signatureOf(signed)
			r.Sign, r.ID = nil, "_evil"
			r.Body = func(string) string { return evil(r, "_evilassertion") }
			return behindIssuer(r.XML(), strings.Replace(signed, sig, "", 1)+sig)
		}),
		body("xsw3-evil-before", many, func(r *Response, x string) string { return evil(r, "_evil") + x }),
		body("xsw4-evil-around", many, func(r *Response, x string) string {
			return strings.Replace(evil(r, "_evil"), "</saml:Assertion>", x+"</saml:Assertion>", 1)
		}),
		body("xsw5-evil-signed-original-behind", many, func(r *Response, x string) string {
			sig := signatureOf(x)
			return behindIssuer(evil(r, "_evil"), sig) + strings.Replace(x, sig, "", 1)
		}),
		body("xsw6-original-in-signature", many, func(r *Response, x string) string {
			sig := signatureOf(x)
			return behindIssuer(evil(r, "_evil"), strings.Replace(sig, "</ds:Signature>", strings.Replace(x, sig, "", 1)+"</ds:Signature>", 1))
		}),
		spoilt(s, "xsw7-evil-in-extensions", "an ID stands twice", func(_ *Bench, r *Response) { r.Before = ext(evil(r, r.Assertion.ID)) }),
		body("xsw8-original-in-object", many, func(r *Response, x string) string {
			sig := signatureOf(x)
			return behindIssuer(evil(r, "_evil"), strings.Replace(sig, "</ds:Signature>", "<ds:Object>"+strings.Replace(x, sig, "", 1)+"</ds:Object></ds:Signature>", 1))
		}),
		spoilt(s, "evil-in-extensions-other-id", many, func(_ *Bench, r *Response) { r.Before = ext(evil(r, "_evil")) }),
		spoilt(s, "only-in-extensions", place, func(_ *Bench, r *Response) {
			r.Before = func(x string) string {
				a := between(x, "<saml:Assertion", "</saml:Assertion>")
				return ext(a)(strings.Replace(x, a, "", 1))
			}
		}),
		spoilt(s, "evil-in-advice", many, func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:AuthnStatement", "<saml:Advice>"+evil(r, "_evil")+"</saml:Advice><saml:AuthnStatement")
		}),
		body("two-assertions-both-signed", many, func(r *Response, x string) string {
			b := *r.Assertion
			b.ID, b.NameID = "_second", "admin"
			return x + b.Signed()
		}),
		body("assertion-and-encrypted", many, func(_ *Response, x string) string {
			return x + Encryption{To: RSA(100).Cert}.Seal(x)
		}),
		spoilt(s, "response-inside-response", nested, func(_ *Bench, r *Response) { r.Before = ext(`<samlp:Response ID="_inner"></samlp:Response>`) }),
		spoilt(s, "duplicate-id", "an ID stands twice", func(_ *Bench, r *Response) {
			r.Before = ext(`<x ID="` + r.Assertion.ID + `"></x>`)
		}),
		spoilt(s, "unprefixed-twin-of-an-attribute", "two attributes with one local name", func(_ *Bench, r *Response) {
			r.Before = ext(`<x xmlns:y="urn:y" y:z="1" z="2"></x>`)
		}),
		spoilt(s, "duplicate-id-other-case", "an ID stands twice", func(_ *Bench, r *Response) {
			r.Before = ext(`<x Id="` + r.Assertion.ID + `"></x>`)
		}),
		spoilt(s, "duplicate-id-of-response", "an ID stands twice", func(_ *Bench, r *Response) { r.ID = r.Assertion.ID }),
		spoilt(s, "prefixed-id", "attribute ID in a namespace", func(_ *Bench, r *Response) {
			r.Before = ext(`<x samlp:ID="` + r.Assertion.ID + `"></x>`)
		}),
		spoilt(s, "xml-id", "attribute id in a namespace", func(_ *Bench, r *Response) {
			r.Before = ext(`<x xml:id="` + r.Assertion.ID + `"></x>`)
		}),
		spoilt(s, "two-ids-on-one-element", "attribute ID in a namespace", func(_ *Bench, r *Response) {
			r.After = Swap(`<saml:Assertion xmlns:saml="`+NSAssertion+`" ID=`, `<saml:Assertion xmlns:saml="`+NSAssertion+`" samlp:ID="_evil" ID=`)
		}),
		spoilt(s, "attribute-twice", "two attributes with one local name", func(_ *Bench, r *Response) {
			r.After = Swap(` Version="2.0"`, ` Version="2.0" Version="2.0"`)
		}),
		spoilt(s, "id-that-is-no-name", "an ID that is no name", func(_ *Bench, r *Response) { r.ID = "a b" }),
		spoilt(s, "polluted-algorithm", "attribute Algorithm in a namespace", func(_ *Bench, r *Response) {
			r.After = Swap(`<ds:DigestMethod Algorithm=`, `<ds:DigestMethod saml:Algorithm=`)
		}),
		spoilt(s, "polluted-inresponseto", "attribute InResponseTo in a namespace", func(_ *Bench, r *Response) {
			r.Before = Swap(` InResponseTo=`, ` saml:InResponseTo=`)
		}),
		spoilt(s, "relative-namespace", "a namespace that is no absolute URI", func(_ *Bench, r *Response) {
			r.After = Swap(`<samlp:Response `, `<samlp:Response xmlns:x="relative" `)
		}),
		spoilt(s, "void-canonicalization", "a namespace that is no absolute URI", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap(`<saml:Assertion `, `<saml:Assertion xmlns:ns="1" `)
		}),
		spoilt(s, "prefix-without-namespace", "a namespace that is no absolute URI", func(_ *Bench, r *Response) {
			r.After = Swap(`<samlp:Response `, `<samlp:Response xmlns:x="" `)
		}),
		spoilt(s, "xml-prefix-redeclared", "a reserved namespace is declared", func(_ *Bench, r *Response) {
			r.After = Swap(`<samlp:Response `, `<samlp:Response xmlns:xml="http://www.w3.org/XML/1998/namespace" `)
		}),
		spoilt(s, "undeclared-prefix", "an undeclared prefix", func(_ *Bench, r *Response) {
			r.After = Swap("<samlp:Status>", "<samlp:Status><no:x></no:x>")
		}),
		spoilt(s, "saml-prefix-in-other-namespace", "a signature in the wrong place", func(_ *Bench, r *Response) {
			r.Body = func(x string) string { return strings.Replace(x, NSAssertion, "urn:other", 1) }
		}),
		spoilt(s, "altered-assertion", "what was signed has been changed", func(_ *Bench, r *Response) {
			r.Assertion.After = Swap(">alice</saml:NameID>", ">admin</saml:NameID>")
		}),
		spoilt(s, "altered-attribute", "what was signed has been changed", func(_ *Bench, r *Response) { r.Assertion.After = Swap(">staff<", ">admin<") }),
		spoilt(s, "altered-response", "what was signed has been changed", func(b *Bench, r *Response) {
			r.Sign = b.IDP.Signing()
			r.After = Swap(`<samlp:Status>`, `<samlp:Status ID="_x">`)
		}),
		spoilt(s, "bad-response-signature-good-assertion", "Response: the signature is not that of the provider's metadata", func(_ *Bench, r *Response) {
			r.Sign = &Signing{Pair: RSA(66)}
		}),
		spoilt(s, "good-response-signature-bad-assertion", "Assertion: the signature is not that of the provider's metadata", func(b *Bench, r *Response) {
			r.Sign, r.Assertion.Sign = b.IDP.Signing(), &Signing{Pair: RSA(66)}
		}),
		body("signature-in-status", "a signature in the wrong place", func(_ *Response, x string) string {
			sig := signatureOf(x)
			return strings.Replace(x, sig, "", 1) + "<x>" + sig + "</x>"
		}),
		spoilt(s, "signature-in-attribute", "a signature in the wrong place", func(b *Bench, r *Response) {
			r.Assertion.Before = Swap(`<saml:AttributeValue>`, `<saml:AttributeValue>`+b.IDP.Signing().Over(b.IDP.Signing().Reference("x", "<a/>")))
		}),
	}
}

// keys are signatures by nobody who may sign (S2).
func keys() []Case {
	const s, foreign = "S2", "the signature is not that of the provider's metadata"
	by := func(name, why string, f func(b *Bench) *Signing) Case {
		return spoilt(s, name, why, func(b *Bench, r *Response) { r.Assertion.Sign = f(b) })
	}
	after := func(name, why string, f func(string) string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) { r.Assertion.After = f })
	}
	mallory := RSA(66)
	value := func() string {
		pub := mallory.Key.Public().(*rsa.PublicKey)
		return `<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>` + base64.StdEncoding.EncodeToString(pub.N.Bytes()) + `</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>`
	}
	cut := func(from, to, now string) func(string) string {
		return func(x string) string { return strings.Replace(x, between(x, from, to), now, 1) }
	}
	return []Case{
		by("unsigned", "no signature", func(*Bench) *Signing { return nil }),
		after("empty-signature", "a malformed signature", cut("<ds:Signature ", "</ds:Signature>", `<ds:Signature xmlns:ds="`+NSDsig+`"></ds:Signature>`)),
		after("no-signature-value", "a malformed signature", cut("<ds:SignatureValue>", "</ds:SignatureValue>", "")),
		after("empty-signature-value", "a malformed signature value", cut("<ds:SignatureValue>", "</ds:SignatureValue>", "<ds:SignatureValue></ds:SignatureValue>")),
		after("signature-value-no-base64", "a malformed signature value", cut("<ds:SignatureValue>", "</ds:SignatureValue>", "<ds:SignatureValue>%%%</ds:SignatureValue>")),
		after("other-signature-value", foreign, cut("<ds:SignatureValue>", "</ds:SignatureValue>", "<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(make([]byte, 256))+"</ds:SignatureValue>")),
		after("element-in-signature-value", "SignatureValue holds more than text", Swap("<ds:SignatureValue>", "<ds:SignatureValue><x></x>")),
		after("no-signed-info", "a malformed signature", cut("<ds:SignedInfo>", "</ds:SignedInfo>", "")),
		by("other-key-own-certificate", foreign, func(*Bench) *Signing { return &Signing{Pair: mallory} }),
		by("other-key-trusted-certificate", foreign, func(b *Bench) *Signing {
			return &Signing{Pair: mallory, KeyInfo: b.IDP.Signing().X509()}
		}),
		by("other-key-both-certificates", foreign, func(b *Bench) *Signing {
			return &Signing{Pair: mallory, KeyInfo: `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + b.IDP.Base64() + `</ds:X509Certificate><ds:X509Certificate>` + mallory.Base64() + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`}
		}),
		by("other-key-value", foreign, func(*Bench) *Signing { return &Signing{Pair: mallory, KeyInfo: value()} }),
		by("other-key-no-keyinfo", foreign, func(*Bench) *Signing { return &Signing{Pair: mallory, KeyInfo: "-"} }),
		by("other-key-named", foreign, func(*Bench) *Signing {
			return &Signing{Pair: mallory, KeyInfo: `<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>`}
		}),
		by("key-retrieved", foreign, func(*Bench) *Signing {
			return &Signing{Pair: mallory, KeyInfo: `<ds:KeyInfo><ds:RetrievalMethod URI="http://127.0.0.1:9/key"></ds:RetrievalMethod></ds:KeyInfo>`}
		}),
		by("other-key-elliptic", foreign, func(*Bench) *Signing { return &Signing{Pair: EC(66)} }),
		by("hmac-certificate", "signature algorithm", func(b *Bench) *Signing {
			return &Signing{Pair: b.IDP.Pair, Method: HMACSHA256, HMAC: b.IDP.Cert.Raw}
		}),
		by("hmac-certificate-pem", "signature algorithm", func(b *Bench) *Signing {
			return &Signing{Pair: b.IDP.Pair, Method: HMACSHA256, HMAC: []byte(b.IDP.CertPEM())}
		}),
		by("hmac-public-key", "signature algorithm", func(b *Bench) *Signing {
			return &Signing{Pair: b.IDP.Pair, Method: HMACSHA256, HMAC: b.IDP.Cert.RawSubjectPublicKeyInfo}
		}),
		by("hmac-empty-key", "signature algorithm", func(b *Bench) *Signing {
			return &Signing{Pair: b.IDP.Pair, Method: HMACSHA256, HMAC: []byte{}}
		}),
		by("sha1-signature", "signature algorithm", func(b *Bench) *Signing { return &Signing{Pair: b.IDP.Pair, Method: RSASHA1} }),
		by("sha1-digest", "digest algorithm", func(b *Bench) *Signing { return &Signing{Pair: b.IDP.Pair, Digest: SHA1} }),
		after("no-algorithm", "signature algorithm", Swap(RSASHA256, "")),
		after("unknown-algorithm", "signature algorithm", Swap(RSASHA256, "urn:none")),
		after("algorithm-of-another-kind-of-key", foreign, Swap(RSASHA256, ECSHA256)),
		after("algorithm-with-parameters", "signature algorithm", Swap(`<ds:SignatureMethod Algorithm="`+RSASHA256+`">`, `<ds:SignatureMethod Algorithm="`+RSASHA256+`"><ds:HMACOutputLength>1</ds:HMACOutputLength>`)),
	}
}

// MultiReference is the forgery of CVE-2026-33487: an honest signature over two
// references, and an assertion that has the ID of the first and the digest of the second.
func MultiReference(b *Bench) (form url.Values, assertion string) {
	r := b.Good()
	honest := r.Assertion.Text()
	forged := evil(r, r.Assertion.ID)
	s := b.IDP.Signing()
	sig := s.Over(s.Reference(r.Assertion.ID, honest) + s.Reference("other", forged))
	assertion = behindIssuer(forged, sig)
	r.Body = func(string) string { return assertion }
	return r.Form(), assertion
}

// references are the shapes of a signature (S3).
func references() []Case {
	const s = "S3"
	signed := func(name, why string, f func(b *Bench, r *Response, doc string) string) Case {
		return spoilt(s, name, why, func(b *Bench, r *Response) {
			r.Body = func(string) string { return f(b, r, r.Assertion.Text()) }
		})
	}
	with := func(name, why string, s *Signing) Case {
		return signed(name, why, func(b *Bench, r *Response, doc string) string {
			s.Pair = b.IDP.Pair
			return s.Sign(doc, r.Assertion.ID)
		})
	}
	after := func(name, why string, f func(string) string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) { r.Assertion.After = f })
	}
	transform := func(list ...string) *Signing {
		var b strings.Builder
		for _, a := range list {
			fmt.Fprintf(&b, `<ds:Transform Algorithm="%s"></ds:Transform>`, a)
		}
		return &Signing{Transforms: b.String()}
	}
	const more = "a malformed signature"
	return []Case{
		{Row: s, Name: "multi-reference", Reason: Invalid, Why: more, Make: func(b *Bench) url.Values { f, _ := MultiReference(b); return f }},
		signed("reference-to-another-element", "the signature refers to something else", func(b *Bench, r *Response, doc string) string {
			s := b.IDP.Signing()
			return behindIssuer(doc, s.Over(s.Reference(r.ID, doc)))
		}),
		signed("reference-to-the-document", "the signature refers to something else", func(b *Bench, _ *Response, doc string) string {
			s := b.IDP.Signing()
			return behindIssuer(doc, s.Over(strings.Replace(s.Reference("x", doc), "#x", "", 1)))
		}),
		signed("reference-by-xpointer", "the signature refers to something else", func(b *Bench, r *Response, doc string) string {
			s := b.IDP.Signing()
			return behindIssuer(doc, s.Over(strings.Replace(s.Reference("x", doc), "#x", "#xpointer(id('"+r.Assertion.ID+"'))", 1)))
		}),
		signed("no-reference", more, func(b *Bench, _ *Response, doc string) string { return behindIssuer(doc, b.IDP.Signing().Over("")) }),
		after("two-signed-infos", more, func(x string) string {
			info := between(x, "<ds:SignedInfo>", "</ds:SignedInfo>")
			return strings.Replace(x, info, info+info, 1)
		}),
		after("two-signature-values", more, func(x string) string {
			v := between(x, "<ds:SignatureValue>", "</ds:SignatureValue>")
			return strings.Replace(x, v, v+v, 1)
		}),
		after("two-signatures", "2 signatures on one", func(x string) string {
			v := signatureOf(x)
			return strings.Replace(x, v, v+v, 1)
		}),
		after("two-digests", more, func(x string) string {
			v := between(x, "<ds:DigestValue>", "</ds:DigestValue>")
			return strings.Replace(x, v, v+v, 1)
		}),
		after("object-in-signature", "a signature with an Object", Swap("</ds:Signature>", "<ds:Object></ds:Object></ds:Signature>")),
		after("comment-in-digest", "comment", Swap("<ds:DigestValue>", "<ds:DigestValue><!-- x -->")),
		with("transform-xslt", "transform algorithm", transform(Enveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116")),
		with("transform-xpath", "transform algorithm", transform(Enveloped, "http://www.w3.org/TR/1999/REC-xpath-19991116")),
		with("transform-base64", "transform algorithm", transform(Enveloped, "http://www.w3.org/2000/09/xmldsig#base64")),
		with("transform-inclusive", "transform algorithm", transform(Enveloped, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")),
		with("transform-not-enveloped", more, transform(ExcC14N)),
		with("transform-only-enveloped", more, transform(Enveloped)),
		with("transform-order", "transform algorithm", transform(ExcC14N, Enveloped)),
		with("transform-three", more, transform(Enveloped, ExcC14N, ExcC14N)),
		with("canonicalization-inclusive", "canonicalization algorithm", &Signing{Canonicalization: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}),
		with("canonicalization-unknown", "canonicalization algorithm", &Signing{Canonicalization: "urn:none"}),
	}
}
