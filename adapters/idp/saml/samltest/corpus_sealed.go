package samltest

import (
	"crypto/rand"
	"strconv"
	"strings"
)

// sealed are encrypted assertions (S10). What a stranger could learn from is
// refused in one sentence.
func sealed() []Case {
	const s, one = "S10", "the encrypted assertion cannot be opened"
	enc := func(name, why string, f func(e *Encryption, r *Response)) Case {
		return spoilt(s, name, why, func(b *Bench, r *Response) {
			r.Assertion.Encrypt = &Encryption{To: b.SP}
			f(r.Assertion.Encrypt, r)
		})
	}
	body := func(name, why string, f func(string) string) Case {
		return spoilt(s, name, why, func(b *Bench, r *Response) {
			r.Assertion.Encrypt = &Encryption{To: b.SP}
			r.Body = f
		})
	}
	cipher := func(now string) func(string) string {
		return func(x string) string {
			i := strings.LastIndex(x, "<xenc:CipherValue>")
			j := strings.LastIndex(x, "</xenc:CipherValue>")
			return x[:i] + "<xenc:CipherValue>" + now + x[j:]
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				b[len(b)+at] ^= 1
			} else {
				b[at] ^= 1
			}
			return b
		}
	}
	padded := func(last byte) func(e *Encryption, r *Response) {
		return func(e *Encryption, _ *Response) {
			e.Block, e.Content = AES256CBC, []byte(strings.Repeat("k", 32))
			e.Data = func([]byte) []byte {
				blocks := []byte(strings.Repeat("<saml:Assertion>", 8))
				blocks[len(blocks)-1] = last
				return RawCBC(e.Content, blocks)
			}
		}
	}
	plain := func(xml func(string) string) func(e *Encryption, r *Response) {
		return func(e *Encryption, _ *Response) { e.Plain = func(b []byte) []byte { return []byte(xml(string(b))) } }
	}
	return []Case{
		body("encrypted-empty", "no base64, or empty", cipher("")),
		body("encrypted-blanks", "no base64, or empty", cipher("   \n ")),
		body("encrypted-comment-only", "comment", cipher("<!-- x -->")),
		body("encrypted-element-only", "CipherValue holds more than text", cipher("<x></x>")),
		body("encrypted-no-base64", "no base64, or empty", cipher("%%%%")),
		body("encrypted-no-cipher-value", "0 CipherValue in CipherData", func(x string) string {
			return strings.ReplaceAll(x, "xenc:CipherValue", "xenc:Other")
		}),
		body("encrypted-cipher-reference", "0 CipherValue in CipherData", func(x string) string {
			i := strings.LastIndex(x, "<xenc:CipherValue>")
			j := strings.LastIndex(x, "</xenc:CipherValue>") + len("</xenc:CipherValue>")
			return x[:i] + `<xenc:CipherReference URI="http://127.0.0.1:9/"></xenc:CipherReference>` + x[j:]
		}),
		enc("encrypted-short-gcm", "a ciphertext of 11 bytes", func(e *Encryption, _ *Response) { e.Data = func(b []byte) []byte { return b[:11] } }),
		enc("encrypted-gcm-without-tag", "a ciphertext of 27 bytes", func(e *Encryption, _ *Response) { e.Data = func(b []byte) []byte { return b[:27] } }),
		enc("encrypted-short-cbc", "a ciphertext of 16 bytes", func(e *Encryption, _ *Response) {
			e.Block, e.Data = AES256CBC, func(b []byte) []byte { return b[:16] }
		}),
		enc("encrypted-odd-cbc", "a ciphertext of 33 bytes", func(e *Encryption, _ *Response) {
			e.Block, e.Data = AES256CBC, func(b []byte) []byte { return b[:33] }
		}),
		enc("encrypted-rsa15", "key transport algorithm", func(e *Encryption, _ *Response) { e.Transport = RSA15 }),
		enc("encrypted-3des", "encryption algorithm", func(e *Encryption, _ *Response) { e.Block = TripleDES }),
		body("encrypted-unknown-block", "encryption algorithm", Swap(AES256GCM, "urn:none")),
		body("encrypted-unknown-transport", "key transport algorithm", Swap(OAEPMGF1P, "urn:none")),
		body("encrypted-unknown-oaep-digest", "OAEP digest", Swap(`Algorithm="`+OAEPMGF1P+`">`, `Algorithm="`+OAEPMGF1P+`"><ds:DigestMethod Algorithm="urn:none"></ds:DigestMethod>`)),
		body("encrypted-oaep-label", "key transport with OAEPparams", Swap(`Algorithm="`+OAEPMGF1P+`">`, `Algorithm="`+OAEPMGF1P+`"><xenc:OAEPparams>AAAA</xenc:OAEPparams>`)),
		body("encrypted-no-key", "0 encrypted keys", func(x string) string {
			return strings.Replace(x, between(x, "<ds:KeyInfo ", "</ds:KeyInfo>"), "", 1)
		}),
		body("encrypted-many-keys", "4 encrypted keys", func(x string) string {
			k := between(x, "<xenc:EncryptedKey>", "</xenc:EncryptedKey>")
			return strings.Replace(x, k, k+k+k+k, 1)
		}),
		body("encrypted-two-data", "2 EncryptedData", func(x string) string {
			d := between(x, "<xenc:EncryptedData ", "</xenc:EncryptedData>")
			return strings.Replace(x, d, d+d, 1)
		}),
		enc("encrypted-unsigned", one, func(_ *Encryption, r *Response) { r.Assertion.Sign = nil }),
		enc("encrypted-foreign-signature", one, func(_ *Encryption, r *Response) { r.Assertion.Sign = &Signing{Pair: RSA(66)} }),
		enc("encrypted-altered", one, func(_ *Encryption, r *Response) { r.Assertion.After = Swap(">alice<", ">admin<") }),
		enc("encrypted-sha1", one, func(_ *Encryption, r *Response) { r.Assertion.Sign.Digest = SHA1 }),
		enc("encrypted-for-another", one, func(e *Encryption, _ *Response) { e.To = RSA(66).Cert }),
		enc("encrypted-key-of-other-length", one, func(e *Encryption, _ *Response) {
			e.Key = func([]byte) []byte { return Encryption{To: e.To}.wrap(make([]byte, 16)) }
		}),
		enc("encrypted-other-key", one, func(e *Encryption, _ *Response) {
			e.Key = func([]byte) []byte { return Encryption{To: e.To}.wrap(make([]byte, 32)) }
		}),
		enc("encrypted-key-changed", one, func(e *Encryption, _ *Response) { e.Key = flip(20) }),
		enc("encrypted-key-short", one, func(e *Encryption, _ *Response) { e.Key = func(b []byte) []byte { return b[:100] } }),
		enc("encrypted-gcm-tag-changed", one, func(e *Encryption, _ *Response) { e.Data = flip(-1) }),
		enc("encrypted-gcm-changed", one, func(e *Encryption, _ *Response) { e.Data = flip(40) }),
		enc("encrypted-gcm-noise", one, func(e *Encryption, _ *Response) {
			e.Data = func(b []byte) []byte { _, _ = rand.Read(b); return b }
		}),
		enc("encrypted-cbc-iv-changed", one, func(e *Encryption, _ *Response) { e.Block, e.Data = AES128CBC, flip(0) }),
		enc("encrypted-cbc-changed", one, func(e *Encryption, _ *Response) { e.Block, e.Data = AES128CBC, flip(200) }),
		enc("encrypted-cbc-last-block-changed", one, func(e *Encryption, _ *Response) { e.Block, e.Data = AES256CBC, flip(-1) }),
		enc("encrypted-cbc-padding-0", one, padded(0)),
		enc("encrypted-cbc-padding-1", one, padded(1)),
		enc("encrypted-cbc-padding-16", one, padded(16)),
		enc("encrypted-cbc-padding-17", one, padded(17)),
		enc("encrypted-cbc-padding-255", one, padded(255)),
		enc("encrypted-text", one, plain(func(string) string { return "hello" })),
		enc("encrypted-nothing", one, plain(func(string) string { return "" })),
		enc("encrypted-other-element", one, plain(func(string) string { return "<x></x>" })),
		enc("encrypted-cut-short", one, plain(func(x string) string { return x[:len(x)-5] })),
		enc("encrypted-doctype", one, plain(func(x string) string { return "<!DOCTYPE x>" + x })),
		enc("encrypted-comment-in-nameid", one, plain(Swap(">alice<", "><!-- x -->alice<"))),
		enc("encrypted-two-assertions", one, plain(func(x string) string { return x + x })),
		enc("encrypted-response", one, plain(func(x string) string {
			return `<samlp:Response xmlns:samlp="` + NSProtocol + `">` + x + `</samlp:Response>`
		})),
		enc("encrypted-wrapping", one, func(e *Encryption, r *Response) {
			e.Plain = func(b []byte) []byte {
				return []byte(strings.Replace(evil(r, "_evil"), "</saml:Assertion>", string(b)+"</saml:Assertion>", 1))
			}
		}),
		enc("encrypted-wrong-audience", "the assertion is for audience", func(_ *Encryption, r *Response) { r.Assertion.Audience = "https://other.example" }),
		enc("encrypted-altered-response", "what was signed has been changed", func(_ *Encryption, r *Response) {
			r.Sign = r.Assertion.Sign
			r.After = Swap("<xenc:EncryptedData ", `<xenc:EncryptedData Id="x" `)
		}),
	}
}

// controls are the answers that must be taken: each algorithm, each place.
func controls() []Case {
	var all []Case
	signed := func(name string, f func(b *Bench) *Signing) {
		all = append(all,
			taken("S2", "valid-"+name, func(b *Bench, r *Response) { r.Assertion.Sign = f(b) }),
			taken("S2", "valid-response-"+name, func(b *Bench, r *Response) { r.Assertion.Sign, r.Sign = nil, f(b) }),
			taken("S2", "valid-both-"+name, func(b *Bench, r *Response) { r.Assertion.Sign, r.Sign = f(b), f(b) }))
	}
	for name, s := range map[string]Signing{
		"rsa-sha256": {}, "rsa-sha384": {Method: RSASHA384, Digest: SHA384}, "rsa-sha512": {Method: RSASHA512, Digest: SHA512},
		"no-keyinfo": {KeyInfo: "-"}, "key-name": {KeyInfo: `<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>`},
		"with-comments": {Transforms: `<ds:Transform Algorithm="` + Enveloped + `"></ds:Transform><ds:Transform Algorithm="` + ExcC14N + `WithComments"></ds:Transform>`},
		"prefix-list":   {Prefixes: "xs"},
	} {
		signed(name, func(b *Bench) *Signing { s.Pair = b.IDP.Pair; return &s })
	}
	for _, block := range []string{AES128CBC, AES256CBC, AES128GCM, AES256GCM} {
		for name, e := range map[string]Encryption{
			"": {}, "-beside": {Beside: true}, "-oaep-sha256": {Digest: SHA256}, "-oaep11": {Transport: OAEP11, Digest: SHA256, MGF: MGFSHA256},
			"-oaep11-mgf-sha1": {Transport: OAEP11, Digest: SHA512}, "-oaep-sha1": {Digest: SHA1},
		} {
			e.Block = block
			all = append(all, taken("S10", "valid-encrypted-"+block[strings.Index(block, "#")+1:]+name, func(b *Bench, r *Response) {
				f := e
				f.To = b.SP
				r.Assertion.Encrypt = &f
			}))
		}
	}
	all = append(all,
		taken("S10", "valid-encrypted-signed-response", func(b *Bench, r *Response) {
			r.Sign, r.Assertion.Encrypt = b.IDP.Signing(), &Encryption{To: b.SP}
		}),
		taken("S10", "valid-encrypted-only-response-signed", func(b *Bench, r *Response) {
			r.Sign, r.Assertion.Sign, r.Assertion.Encrypt = b.IDP.Signing(), nil, &Encryption{To: b.SP, Block: AES128CBC}
		}),
		taken("S7", "valid-two-audiences", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:Audience>", "<saml:Audience>https://other.example</saml:Audience><saml:Audience>")
		}),
		taken("S7", "valid-two-audience-restrictions", func(_ *Bench, r *Response) {
			r.Assertion.Before = func(x string) string {
				a := between(x, "<saml:AudienceRestriction>", "</saml:AudienceRestriction>")
				return strings.Replace(x, a, a+a, 1)
			}
		}),
		taken("S7", "valid-no-destination", func(_ *Bench, r *Response) { r.Destination = "" }),
		taken("S7", "valid-no-response-issuer", func(_ *Bench, r *Response) {
			r.Before = func(x string) string {
				return strings.Replace(x, between(x, "<saml:Issuer>", "</saml:Issuer>"), "", 1)
			}
		}),
		taken("S7", "valid-holder-of-key-beside-bearer", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:SubjectConfirmation ", `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"></saml:SubjectConfirmation><saml:SubjectConfirmation `)
		}),
		taken("S7", "valid-one-time-use", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("</saml:Conditions>", "<saml:OneTimeUse></saml:OneTimeUse></saml:Conditions>")
		}),
		taken("S5", "valid-xml-declaration", func(_ *Bench, r *Response) {
			r.After = func(x string) string { return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + x + "\n" }
		}),
		taken("S5", "valid-5000-groups", func(_ *Bench, r *Response) { ManyGroups(r, 5000) }),
		taken("S1", "valid-default-namespaces", func(_ *Bench, r *Response) {
			r.Assertion.Attributes = append(r.Assertion.Attributes, Attribute{Name: "x", Values: []string{"y"}})
			r.Assertion.Before = Swap(`<saml:AttributeValue>`, `<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xs="http://www.w3.org/2001/XMLSchema" xsi:type="xs:string">`)
		}),
		taken("S1", "valid-prefix-list-used", func(b *Bench, r *Response) {
			const xs = ` xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
			r.Sign, r.Assertion.Sign = b.IDP.Signing(), b.IDP.Signing()
			r.Sign.Prefixes, r.Assertion.Sign.Prefixes = "xs", "xs"
			r.Assertion.Before = func(x string) string {
				x = Swap("<saml:Assertion ", "<saml:Assertion"+xs+" ")(x)
				return strings.ReplaceAll(x, "<saml:AttributeValue>", `<saml:AttributeValue xsi:type="xs:string">`)
			}
		}),
		taken("S1", "valid-foreign-attribute", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap(`<saml:Attribute Name="groups"`, `<saml:Attribute xmlns:a="http://schemas.xmlsoap.org/ws/2009/09/identity/claims" a:OriginalIssuer="x" Name="groups"`)
		}),
	)
	return all
}

// ManyGroups gives the person n groups, in as few octets as XML allows: 5,000 fit
// into a form of 256 KiB.
func ManyGroups(r *Response, n int) {
	a := Attribute{Name: "groups"}
	for i := range n {
		a.Values = append(a.Values, strconv.Itoa(i))
	}
	r.Assertion.Attributes = []Attribute{a}
	r.Assertion.Before = func(x string) string {
		return strings.Replace(strings.ReplaceAll(x, "saml:Attribute", "Attribute"), "<AttributeStatement>", `<AttributeStatement xmlns="`+NSAssertion+`">`, 1)
	}
}
