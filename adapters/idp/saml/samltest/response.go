package samltest

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"strings"
	"time"
)

// Formats of NameIDs.
const (
	Persistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	Transient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	Email       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	Unspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

// PasswordClass is the context class of a usual login.
const PasswordClass = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

// Success is the status of a good answer.
const Success = "urn:oasis:names:tc:SAML:2.0:status:Success"

// Attribute is one of the person's. Values are escaped.
type Attribute struct {
	Name, Friendly string
	Values         []string
}

// Response is a Response and what is in it. Every field can be made wrong; the
// Edit functions change the text at that moment.
type Response struct {
	ID, InResponseTo, Destination, Issuer, Version string
	IssueInstant                                   time.Time
	Status, SubStatus, Message                     string
	// Assertion is nil for an answer without one.
	Assertion *Assertion
	// Sign signs the Response; nil: it is not signed.
	Sign *Signing
	// Body edits what stands in the place of the assertion, signed and encrypted.
	Body func(string) string
	// Before edits the Response before it is signed, After what is sent.
	Before, After func(string) string
	// RelayState goes beside it.
	RelayState string
}

// Assertion is the one in a Response.
type Assertion struct {
	ID, Issuer, Version string
	IssueInstant        time.Time
	// NameID is escaped; empty: there is none.
	NameID, Format, NameQualifier, SPNameQualifier string
	InResponseTo, Recipient                        string
	// ConfirmUntil is the confirmation's NotOnOrAfter.
	ConfirmUntil        time.Time
	NotBefore, NotAfter time.Time
	Audience            string
	AuthnInstant        time.Time
	SessionIndex        string
	SessionUntil        time.Time
	Class               string
	Attributes          []Attribute
	// Sign signs it; nil: it is not signed. Encrypt encrypts it, after that.
	Sign    *Signing
	Encrypt *Encryption
	// Before edits it before it is signed, After before it is encrypted.
	Before, After func(string) string
}

// Swap edits a text by replacing what must stand in it.
func Swap(old, now string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic(fmt.Sprintf("samltest: %q does not stand in %s", old, s))
		}
		return strings.Replace(s, old, now, 1)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func optional(name, v string) string {
	if v == "" {
		return ""
	}
	return fmt.Sprintf(` %s="%s"`, name, html.EscapeString(v))
}

func optionalTime(name string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return optional(name, stamp(t))
}

// Text is the assertion before it is signed.
func (a *Assertion) Text() string {
	name := ""
	if a.NameID != "" {
		name = `<saml:NameID` + optional("Format", a.Format) + optional("NameQualifier", a.NameQualifier) + optional("SPNameQualifier", a.SPNameQualifier) + `>` + html.EscapeString(a.NameID) + `</saml:NameID>`
	}
	s := `<saml:Assertion xmlns:saml="` + NSAssertion + `" ID="` + a.ID + `" Version="` + a.Version + `" IssueInstant="` + stamp(a.IssueInstant) + `">` +
		`<saml:Issuer>` + html.EscapeString(a.Issuer) + `</saml:Issuer>` +
		`<saml:Subject>` + name + `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData` +
		optional("InResponseTo", a.InResponseTo) + optionalTime("NotOnOrAfter", a.ConfirmUntil) + optional("Recipient", a.Recipient) +
		`></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions` + optionalTime("NotBefore", a.NotBefore) + optionalTime("NotOnOrAfter", a.NotAfter) + `><saml:AudienceRestriction><saml:Audience>` + html.EscapeString(a.Audience) + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + stamp(a.AuthnInstant) + `"` + optional("SessionIndex", a.SessionIndex) + optionalTime("SessionNotOnOrAfter", a.SessionUntil) + `><saml:AuthnContext><saml:AuthnContextClassRef>` + a.Class + `</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		a.statement() + `</saml:Assertion>`
	if a.Before != nil {
		s = a.Before(s)
	}
	return s
}

func (a *Assertion) statement() string {
	if len(a.Attributes) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<saml:AttributeStatement>`)
	for _, at := range a.Attributes {
		b.WriteString(`<saml:Attribute Name="` + html.EscapeString(at.Name) + `"` + optional("FriendlyName", at.Friendly) + `>`)
		for _, v := range at.Values {
			b.WriteString(`<saml:AttributeValue>` + html.EscapeString(v) + `</saml:AttributeValue>`)
		}
		b.WriteString(`</saml:Attribute>`)
	}
	b.WriteString(`</saml:AttributeStatement>`)
	return b.String()
}

// Signed is the assertion signed, not encrypted.
func (a *Assertion) Signed() string {
	s := a.Text()
	if a.Sign != nil {
		s = a.Sign.Sign(s, a.ID)
	}
	if a.After != nil {
		s = a.After(s)
	}
	return s
}

// XML is the message as it is sent.
func (r *Response) XML() string {
	body := ""
	if r.Assertion != nil {
		body = r.Assertion.Signed()
		if r.Assertion.Encrypt != nil {
			body = r.Assertion.Encrypt.Seal(body)
		}
	}
	if r.Body != nil {
		body = r.Body(body)
	}
	s := r.Around(body)
	if r.Before != nil {
		s = r.Before(s)
	}
	if r.Sign != nil {
		s = r.Sign.Sign(s, r.ID)
	}
	if r.After != nil {
		s = r.After(s)
	}
	return s
}

// Around is the Response with something in the place of the assertion.
func (r *Response) Around(body string) string {
	sub, msg := "", ""
	if r.SubStatus != "" {
		sub = `<samlp:StatusCode Value="` + r.SubStatus + `"></samlp:StatusCode>`
	}
	if r.Message != "" {
		msg = `<samlp:StatusMessage>` + html.EscapeString(r.Message) + `</samlp:StatusMessage>`
	}
	return `<samlp:Response xmlns:samlp="` + NSProtocol + `" xmlns:saml="` + NSAssertion + `" ID="` + r.ID + `" Version="` + r.Version + `" IssueInstant="` + stamp(r.IssueInstant) + `"` +
		optional("Destination", r.Destination) + optional("InResponseTo", r.InResponseTo) + `>` +
		`<saml:Issuer>` + html.EscapeString(r.Issuer) + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="` + r.Status + `">` + sub + `</samlp:StatusCode>` + msg + `</samlp:Status>` + body + `</samlp:Response>`
}

// Form is the message as a browser posts it.
func (r *Response) Form() url.Values { return PostForm("SAMLResponse", r.XML(), r.RelayState) }

// PostForm is a message of the POST binding; no RelayState when it is empty.
func PostForm(param, message, relayState string) url.Values {
	v := url.Values{param: {base64.StdEncoding.EncodeToString([]byte(message))}}
	if relayState != "" {
		v.Set("RelayState", relayState)
	}
	return v
}
