package samltest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// texts are names that two readers read differently (S4).
func texts() []Case {
	const s = "S4"
	name := func(c, xml, why string) Case {
		return spoilt(s, c, why, func(_ *Bench, r *Response) { r.Assertion.Before = Swap(">alice<", ">"+xml+"<") })
	}
	whole := func(c, xml, subject string) Case {
		k := taken(s, c, func(_ *Bench, r *Response) { r.Assertion.Before = Swap(">alice<", ">"+xml+"<") })
		k.Subject = subject
		return k
	}
	after := func(c, why string, f func(string) string) Case {
		return spoilt(s, c, why, func(_ *Bench, r *Response) { r.After = f })
	}
	return []Case{
		name("comment-in-nameid", "admin<!-- -->@example.test", "comment"),
		after("comment-in-nameid-later", "comment", Swap(">alice<", "><!-- x -->alice<")),
		after("comment-in-attribute", "comment", Swap(">staff<", ">admin<!-- x -->staff<")),
		after("comment-before-root", "comment", func(x string) string { return "<!-- x -->" + x }),
		name("pi-in-nameid", "admin<?x y?>@example.test", "processing instruction"),
		after("pi-before-root", "processing instruction", func(x string) string { return `<?xml-stylesheet href="x"?>` + x }),
		after("second-xml-declaration", "processing instruction", Swap(`<samlp:Status>`, `<?xml version="1.0"?><samlp:Status>`)),
		name("element-in-nameid", "admin<x></x>@example.test", "NameID holds more than text"),
		name("empty-nameid", "", "NameID is empty"),
		name("blank-nameid", " ", "NameID begins or ends with a blank"),
		name("nameid-space-before", " alice", "begins or ends with a blank"),
		name("nameid-space-behind", "alice ", "begins or ends with a blank"),
		name("nameid-newline-behind", "alice&#10;", "holds a control character"),
		name("nameid-tab-before", "&#9;alice", "holds a control character"),
		name("nameid-nbsp-behind", "alice&#160;", "begins or ends with a blank"),
		name("nameid-ideographic-space", "&#x3000;alice", "begins or ends with a blank"),
		name("nameid-zero-width", "alice&#x200B;", "begins or ends with a blank"),
		name("nameid-bidi", "&#x202E;alice", "begins or ends with a blank"),
		name("nameid-carriage-return", "ali&#13;ce", "holds a control character"),
		name("nameid-huge", strings.Repeat("a", 2000), "at most 1024 are read"),
		name("nameid-replacement-character", "alice&#xFFFD;", "holds an unreadable character"),
		after("nameid-nul", "xml:", Swap(">alice<", ">ali&#0;ce<")),
		after("invalid-utf8", "xml:", Swap(">alice<", ">ali\xffce<")),
		after("roundtrip-prefix", "a malformed name", Swap("<samlp:Status>", "<samlp:Status><:x></:x>")),
		after("roundtrip-attribute", "a malformed name", Swap("<samlp:Status>", `<samlp:Status><x :y="1"></x>`)),
		after("roundtrip-two-colons", "xml:", Swap("<samlp:Status>", "<samlp:Status><saml:a:b></saml:a:b>")),
		after("roundtrip-xmlns-element", "a malformed name", Swap("<samlp:Status>", "<samlp:Status><xmlns:x></xmlns:x>")),
		after("roundtrip-directive", "DOCTYPE or other directive", Swap("<samlp:Status>", "<samlp:Status><!x>")),
		spoilt(s, "two-nameids", "NameID is unknown in Subject, or one too many", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:NameID", "<saml:NameID>admin</saml:NameID><saml:NameID")
		}),
		spoilt(s, "two-subjects", "Subject is unknown in Assertion, or one too many", func(_ *Bench, r *Response) {
			r.Assertion.Before = func(x string) string {
				sub := between(x, "<saml:Subject>", "</saml:Subject>")
				return strings.Replace(x, sub, sub+sub, 1)
			}
		}),
		spoilt(s, "nameid-in-other-namespace", "NameID is unknown in Subject, or one too many", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:NameID", `<NameID xmlns="urn:x">admin</NameID><saml:NameID`)
		}),
		whole("cdata-in-nameid", "ali<![CDATA[c]]>e", "alice"),
		whole("cdata-cuts-nothing", "alice<![CDATA[]]>@example.test", "alice@example.test"),
		whole("character-reference-in-nameid", "&#97;lice", "alice"),
		whole("markup-in-nameid", "a&lt;b&gt;&amp;c", "a<b>&c"),
	}
}

// bombs are documents that cost more than they are worth (S5).
func bombs() []Case {
	const s = "S5"
	prolog := func(name, doctype string) Case {
		return spoilt(s, name, "DOCTYPE or other directive", func(_ *Bench, r *Response) {
			r.After = func(x string) string { return doctype + x }
		})
	}
	inside := func(name, why, xml string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) { r.After = Swap("<samlp:Status>", xml+"<samlp:Status>") })
	}
	after := func(name, why string, f func(string) string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) { r.After = f })
	}
	spaces := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ` xmlns:a%d="urn:a"`, i)
		}
		return b.String()
	}
	var laughs strings.Builder
	laughs.WriteString(`<!DOCTYPE r [<!ENTITY l0 "lol">`)
	for i := range 9 {
		fmt.Fprintf(&laughs, `<!ENTITY l%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&l%d;", i), 10))
	}
	laughs.WriteString(`]>`)
	return []Case{
		prolog("doctype", `<!DOCTYPE Response>`),
		prolog("doctype-entity", `<!DOCTYPE r [<!ENTITY n "admin">]>`),
		prolog("billion-laughs", laughs.String()),
		prolog("xxe-file", `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>`),
		prolog("xxe-http", `<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1:9/">]>`),
		prolog("parameter-entity", `<!DOCTYPE r [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]>`),
		prolog("doctype-external", `<!DOCTYPE r PUBLIC "x" "http://127.0.0.1:9/x.dtd">`),
		after("undefined-entity", "xml:", Swap(">alice<", ">&n;<")),
		inside("deep-40", "elements nest deeper than", strings.Repeat("<x>", 40)+strings.Repeat("</x>", 40)),
		inside("deep-20000", "elements nest deeper than", strings.Repeat("<x>", 20000)+strings.Repeat("</x>", 20000)),
		inside("many-elements", "more than 10000 elements", strings.Repeat("<x/>", 20000)),
		inside("many-attributes", "an element with more than", "<x "+numbered(`a%d="" `, 5000)+"></x>"),
		inside("many-namespaces", "an element with more than", "<x"+spaces(5000)+"></x>"),
		inside("many-namespaces-nested", "namespace declarations in force", strings.Repeat("<x"+spaces(10)+">", 10)+strings.Repeat("</x>", 10)),
		inside("long-namespace", "a namespace of more than", `<x xmlns:y="urn:`+strings.Repeat("y", 50000)+`">`+strings.Repeat("<y:z/>", 9000)+"</x>"),
		inside("long-name", "a malformed name", "<"+strings.Repeat("x", 100000)+"/>"),
		after("trailing-document", "a second root element", func(x string) string { return x + x }),
		after("trailing-element", "a second root element", func(x string) string { return x + "<x></x>" }),
		after("trailing-text", "text outside of the root element", func(x string) string { return x + "x" }),
		after("leading-text", "text outside of the root element", func(x string) string { return "x" + x }),
		after("trailing-end-tag", "an end tag that ends nothing", func(x string) string { return x + "</x>" }),
		after("end-tags-crossed", "an end tag that ends nothing", Swap("</saml:Issuer><samlp:Status>", "</saml:issuer><samlp:Status>")),
		after("cut-short", "the document ends early", func(x string) string { return x[:len(x)-len("</samlp:Response>")] }),
		after("cut-in-a-tag", "xml:", func(x string) string { return x[:len(x)-3] }),
		after("other-encoding", "xml:", func(x string) string { return `<?xml version="1.0" encoding="UTF-7"?>` + x }),
		after("xml-1.1", "xml:", func(x string) string { return `<?xml version="1.1"?>` + x }),
		after("utf-16", "xml:", func(x string) string { return "\xff\xfe" + strings.Join(strings.Split(x, ""), "\x00") }),
		text(s, "deflated", "xml:", func(b *Bench) string { return string(Deflate([]byte(b.Good().XML()))) }),
		text(s, "deflate-bomb", "xml:", func(*Bench) string { return string(Deflate(make([]byte, 10<<20))) }),
		text(s, "no-element", "the document ends early", func(*Bench) string { return " " }),
		{Row: s, Name: "big-body", Reason: "too_large", Why: "at most", Make: func(b *Bench) url.Values {
			r := b.Good()
			r.Assertion.Attributes = []Attribute{{Name: "x", Values: []string{strings.Repeat("x", 300<<10)}}}
			return r.Form()
		}},
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// malformed are no answers at all (S13).
func malformed() []Case {
	const s = "S13"
	send := func(name, why string, v url.Values) Case {
		return Case{Row: s, Name: name, Reason: Invalid, Why: why, Make: func(*Bench) url.Values { return v }}
	}
	plain := func(name, why, xml string) Case { return text(s, name, why, func(*Bench) string { return xml }) }
	return []Case{
		send("nothing", "no SAMLResponse", url.Values{}),
		send("empty", "no SAMLResponse", url.Values{"SAMLResponse": {""}}),
		send("no-base64", "no base64", url.Values{"SAMLResponse": {"<samlp:Response/>"}}),
		send("base64url", "no base64", url.Values{"SAMLResponse": {base64.RawURLEncoding.EncodeToString([]byte("<<<???>>>"))}}),
		send("zero", "no base64", url.Values{"SAMLResponse": {"0"}}),
		{Row: s, Name: "twice", Reason: Invalid, Why: "stands 2 times", Make: func(b *Bench) url.Values {
			v := b.Good().Form()
			v.Add("SAMLResponse", b.Good().Form().Get("SAMLResponse"))
			return v
		}},
		{Row: s, Name: "relaystate-twice", Reason: Invalid, Why: "stands 2 times", Make: func(b *Bench) url.Values {
			v := b.Good().Form()
			v["RelayState"] = []string{"a", "b"}
			return v
		}},
		{Row: s, Name: "artifact-beside", Reason: Invalid, Why: "an artifact beside", Make: func(b *Bench) url.Values {
			v := b.Good().Form()
			v.Set("SAMLart", "AAQAAMFbLinlXaCM+FIxiDwGOLAy2T71gbpO7ZhNzAgEANlB90ECfpNEVLg=")
			return v
		}},
		plain("other-root", "where a Response is expected", "<a></a>"),
		plain("response-in-no-namespace", "where a Response is expected", "<Response></Response>"),
		plain("saml-1.1-response", "where a Response is expected", `<Response xmlns="urn:oasis:names:tc:SAML:1.0:protocol"></Response>`),
		plain("empty-response", "Response of version", `<samlp:Response xmlns:samlp="`+NSProtocol+`"></samlp:Response>`),
		text(s, "logout-response", "where a Response is expected", func(b *Bench) string {
			return b.IDP.LogoutResponse(b.Request.ACS, b.Request.ID).XML()
		}),
		text(s, "logout-request", "where a Response is expected", func(b *Bench) string {
			return b.IDP.LogoutRequest(b.Request.ACS, "alice", Persistent).XML()
		}),
		text(s, "metadata", "where a Response is expected", func(b *Bench) string { return b.IDP.Metadata() }),
		text(s, "assertion-alone", "where a Response is expected", func(b *Bench) string { return b.Good().Assertion.Signed() }),
		text(s, "soap-envelope", "where a Response is expected", func(b *Bench) string { // ECP (CVE-2019-3878)
			return `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` + b.Good().XML() + `</S:Body></S:Envelope>`
		}),
	}
}
