package samltest

import (
	"crypto/x509"
	"net/url"
	"strings"
	"time"
)

// Case is one message of the corpus: hostile, or a control that must be taken.
type Case struct {
	// Row is the attack's, S1 to S13; Name says what is sent.
	Row, Name string
	// Make builds the form that is posted.
	Make func(b *Bench) url.Values
	// Reason is that of the refusal; empty: the message must be taken.
	Reason string
	// Why stands in the refusal's text: it fails for this and nothing else.
	Why string
	// Subject is who a control's person is; empty: the Bench's.
	Subject string
}

// Bench is what a case is made of: an identity provider that is trusted, a
// request it answers, the service provider's certificate and its clock.
type Bench struct {
	IDP     *IDP
	Request Request
	SP      *x509.Certificate
}

// Good is the usual answer.
func (b *Bench) Good() *Response { return b.IDP.Respond(b.Request) }

// Invalid is the reason of most refusals.
const Invalid = "invalid_answer"

// spoilt is a case that changes a usual answer before it is signed.
func spoilt(row, name, why string, edit func(b *Bench, r *Response)) Case {
	return Case{Row: row, Name: name, Reason: Invalid, Why: why, Make: func(b *Bench) url.Values {
		r := b.Good()
		edit(b, r)
		return r.Form()
	}}
}

// taken is a control.
func taken(row, name string, edit func(b *Bench, r *Response)) Case {
	c := spoilt(row, name, "", edit)
	c.Reason = ""
	return c
}

// text is a case that sends a text of its own.
func text(row, name, why string, make func(b *Bench) string) Case {
	return Case{Row: row, Name: name, Reason: Invalid, Why: why, Make: func(b *Bench) url.Values {
		return PostForm("SAMLResponse", make(b), b.Request.RelayState)
	}}
}

// Corpus is all of them.
func Corpus() []Case {
	var all []Case
	for _, part := range [][]Case{
		wrapping(), keys(), references(), texts(), bombs(), facts(), times(), statuses(), initiated(), mixups(), sealed(), malformed(), controls(),
	} {
		all = append(all, part...)
	}
	return all
}

// evil is an assertion for the victim, not signed.
func evil(r *Response, id string) string {
	a := *r.Assertion
	a.ID, a.NameID, a.Sign, a.Encrypt = id, "admin", nil, nil
	return a.Signed()
}

// between is what stands from one mark up to the end of another.
func between(s, from, to string) string {
	i := strings.Index(s, from)
	j := strings.Index(s[i:], to) + i + len(to)
	return s[i:j]
}

func signatureOf(s string) string { return between(s, "<ds:Signature ", "</ds:Signature>") }

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }
