package samltest

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Person is who signs in.
type Person struct {
	NameID, Format string
	Attributes     []Attribute
}

// IDP is an identity provider. Its fields may be changed before it is asked.
type IDP struct {
	// EntityID is its name; New makes it the address of its metadata.
	EntityID string
	// URL is where it listens: /metadata, /sso and /slo.
	URL string
	// Pair signs; More stand in the metadata, too, behind it.
	Pair
	More []Pair
	// Now is its clock.
	Now func() time.Time
	// Person signs in, at /sso as well.
	Person Person
	// Encrypt is the certificate assertions are encrypted to; nil: they are not.
	Encrypt func() *Encryption
	// SignResponse signs the Response, too.
	SignResponse bool
	// WantSigned asks for signed AuthnRequests in the metadata.
	WantSigned bool
	// Scopes are the domains that its metadata grants it; none: it does not say.
	Scopes []string
	// Edit changes every answer made at /sso.
	Edit func(*Response)

	mu       sync.Mutex
	requests []Request
	asked    int
}

// Alice signs in at a new IDP.
var Alice = Person{NameID: "alice", Format: Persistent, Attributes: []Attribute{
	{Name: "urn:oid:0.9.2342.19200300.100.1.1", Friendly: "uid", Values: []string{"alice"}},
	{Name: "urn:oid:0.9.2342.19200300.100.1.3", Friendly: "mail", Values: []string{"alice@example.test"}},
	{Name: "urn:oid:2.16.840.1.113730.3.1.241", Friendly: "displayName", Values: []string{"Alice Example"}},
	{Name: "groups", Values: []string{"staff", "payroll"}},
}}

// New starts one with the n-th RSA key; it stops with the test.
func New(t testing.TB, n int) *IDP {
	t.Helper()
	i := &IDP{Pair: RSA(n), Now: time.Now, Person: Alice}
	srv := httptest.NewServer(i)
	t.Cleanup(srv.Close)
	i.URL, i.EntityID = srv.URL, srv.URL+"/metadata"
	return i
}

// Signing signs as this IDP does.
func (i *IDP) Signing() *Signing { return &Signing{Pair: i.Pair} }

// Metadata is its document.
func (i *IDP) Metadata() string {
	keys := ""
	for _, p := range append([]Pair{i.Pair}, i.More...) {
		keys += `<md:KeyDescriptor use="signing">` + strings.ReplaceAll(strings.ReplaceAll(Signing{Pair: p}.X509(), "<ds:KeyInfo>", `<ds:KeyInfo xmlns:ds="`+NSDsig+`">`), "\n", "") + `</md:KeyDescriptor>`
	}
	want := ""
	if i.WantSigned {
		want = ` WantAuthnRequestsSigned="true"`
	}
	at := func(tag, path, binding string) string {
		return fmt.Sprintf(`<md:%s Binding="urn:oasis:names:tc:SAML:2.0:bindings:%s" Location="%s"/>`, tag, binding, i.URL+path)
	}
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + html.EscapeString(i.EntityID) + `">` +
		`<md:IDPSSODescriptor protocolSupportEnumeration="` + NSProtocol + `"` + want + `>` + i.scopes() + keys +
		at("SingleLogoutService", "/slo", "HTTP-Redirect") + at("SingleLogoutService", "/slo", "HTTP-POST") +
		at("SingleSignOnService", "/sso", "HTTP-Redirect") + at("SingleSignOnService", "/sso", "HTTP-POST") +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

func (i *IDP) scopes() string {
	if len(i.Scopes) == 0 {
		return ""
	}
	s := `<md:Extensions xmlns:shibmd="urn:mace:shibboleth:metadata:1.0">`
	for _, d := range i.Scopes {
		s += `<shibmd:Scope regexp="false">` + d + `</shibmd:Scope>`
	}
	return s + `</md:Extensions>`
}

// Request is an AuthnRequest, or what an initiated login knows of one.
type Request struct {
	ID     string `xml:"ID,attr"`
	ACS    string `xml:"AssertionConsumerServiceURL,attr"`
	Force  bool   `xml:"ForceAuthn,attr"`
	Issuer string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	// Classes are the context classes asked for.
	Classes []string `xml:"RequestedAuthnContext>AuthnContextClassRef"`
	// RelayState came beside it, Signature says that it bore one.
	RelayState string `xml:"-"`
	Signature  bool   `xml:"-"`
	// XML is the whole message.
	XML string `xml:"-"`
}

// Parse reads an AuthnRequest from an address of the redirect binding.
func Parse(address string) (Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Request{}, err
	}
	q := u.Query()
	raw, err := base64.StdEncoding.DecodeString(q.Get("SAMLRequest"))
	if err != nil {
		return Request{}, err
	}
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return Request{}, err
	}
	return request(string(text), q.Get("RelayState"), q.Get("Signature") != "")
}

// ParseForm reads one from the POST binding.
func ParseForm(v url.Values) (Request, error) {
	raw, err := base64.StdEncoding.DecodeString(v.Get("SAMLRequest"))
	if err != nil {
		return Request{}, err
	}
	return request(string(raw), v.Get("RelayState"), strings.Contains(string(raw), "SignatureValue"))
}

func request(text, relayState string, signed bool) (Request, error) {
	r := Request{RelayState: relayState, Signature: signed, XML: text}
	err := xml.Unmarshal([]byte(text), &r)
	if err == nil && r.ID == "" {
		err = fmt.Errorf("samltest: no AuthnRequest with an ID: %s", text)
	}
	return r, err
}

// Respond is the good answer to a request, for a test to send or to spoil.
func (i *IDP) Respond(r Request) *Response {
	now := i.Now()
	res := &Response{
		ID: NewID(), InResponseTo: r.ID, Destination: r.ACS, Issuer: i.EntityID, Version: "2.0", IssueInstant: now,
		Status: Success, RelayState: r.RelayState,
		Assertion: &Assertion{
			ID: NewID(), Issuer: i.EntityID, Version: "2.0", IssueInstant: now,
			NameID: i.Person.NameID, Format: i.Person.Format, InResponseTo: r.ID, Recipient: r.ACS, ConfirmUntil: now.Add(5 * time.Minute),
			NotBefore: now.Add(-time.Minute), NotAfter: now.Add(5 * time.Minute), Audience: r.Issuer,
			AuthnInstant: now, SessionIndex: NewID(), Class: PasswordClass, Attributes: i.Person.Attributes, Sign: i.Signing(),
		},
	}
	if i.SignResponse {
		res.Sign = i.Signing()
	}
	if i.Encrypt != nil {
		res.Assertion.Encrypt = i.Encrypt()
	}
	return res
}

// Initiate is a login that nobody asked for.
func (i *IDP) Initiate(acs, entity string) *Response {
	return i.Respond(Request{ACS: acs, Issuer: entity})
}

// NewID makes an ID that nobody guesses.
func NewID() string { return "_" + strings.ToLower(rand.Text()) }

// Requests are the AuthnRequests that came to /sso.
func (i *IDP) Requests() []Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Request(nil), i.requests...)
}

// MetadataAsked is how often the metadata was fetched.
func (i *IDP) MetadataAsked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// ServeHTTP answers /metadata, and /sso with a form that posts itself.
func (i *IDP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/metadata":
		i.mu.Lock()
		i.asked++
		i.mu.Unlock()
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = io.WriteString(w, i.Metadata())
	case "/sso":
		i.sso(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *IDP) sso(w http.ResponseWriter, r *http.Request) {
	var req Request
	var err error
	if r.Method == http.MethodPost {
		if err = r.ParseForm(); err == nil {
			req, err = ParseForm(r.PostForm)
		}
	} else {
		req, err = Parse(r.URL.String())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	i.requests = append(i.requests, req)
	i.mu.Unlock()
	res := i.Respond(req)
	if i.Edit != nil {
		i.Edit(res)
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>posting</title><body onload="document.forms[0].submit()"><form method="post" action="%s">`, html.EscapeString(req.ACS))
	for name, values := range res.Form() {
		_, _ = fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, html.EscapeString(values[0]))
	}
	_, _ = io.WriteString(w, `<button>Continue</button></form>`)
}
