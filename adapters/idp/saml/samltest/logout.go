package samltest

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"html"
	"net/url"
)

// Logout is a LogoutRequest or, with Response, a LogoutResponse.
type Logout struct {
	ID, Issuer, Destination          string
	IssueInstant                     string
	NameID, Format                   string
	NameQualifier, SPNameQualifier   string
	Sessions                         []string
	NotOnOrAfter                     string
	Response                         bool
	InResponseTo, Status, RelayState string
	// Before edits it before it is signed.
	Before func(string) string
}

// LogoutRequest is a good one for a person; sessions may be none.
func (i *IDP) LogoutRequest(destination, nameID, format string, sessions ...string) *Logout {
	return &Logout{
		ID: NewID(), Issuer: i.EntityID, Destination: destination, IssueInstant: stamp(i.Now()),
		NameID: nameID, Format: format, Sessions: sessions,
	}
}

// LogoutResponse is a good one.
func (i *IDP) LogoutResponse(destination, inResponseTo string) *Logout {
	return &Logout{
		ID: NewID(), Issuer: i.EntityID, Destination: destination, IssueInstant: stamp(i.Now()),
		Response: true, InResponseTo: inResponseTo, Status: Success,
	}
}

// XML is the message, not signed.
func (l *Logout) XML() string {
	tag := "samlp:LogoutRequest"
	if l.Response {
		tag = "samlp:LogoutResponse"
	}
	s := `<` + tag + ` xmlns:samlp="` + NSProtocol + `" xmlns:saml="` + NSAssertion + `" ID="` + l.ID + `" Version="2.0" IssueInstant="` + l.IssueInstant + `"` +
		optional("Destination", l.Destination) + optional("InResponseTo", l.InResponseTo) + optional("NotOnOrAfter", l.NotOnOrAfter) + `><saml:Issuer>` + html.EscapeString(l.Issuer) + `</saml:Issuer>`
	if l.Response {
		s += `<samlp:Status><samlp:StatusCode Value="` + l.Status + `"></samlp:StatusCode></samlp:Status>`
	} else {
		s += `<saml:NameID` + optional("Format", l.Format) + optional("NameQualifier", l.NameQualifier) + optional("SPNameQualifier", l.SPNameQualifier) + `>` + html.EscapeString(l.NameID) + `</saml:NameID>`
		for _, index := range l.Sessions {
			s += `<samlp:SessionIndex>` + html.EscapeString(index) + `</samlp:SessionIndex>`
		}
	}
	s += `</` + tag + `>`
	if l.Before != nil {
		s = l.Before(s)
	}
	return s
}

func (l *Logout) param() string {
	if l.Response {
		return "SAMLResponse"
	}
	return "SAMLRequest"
}

// Post is the message of the POST binding, signed in itself; nil: not signed.
func (l *Logout) Post(s *Signing) url.Values {
	text := l.XML()
	if s != nil {
		text = s.Sign(text, l.ID)
	}
	return PostForm(l.param(), text, l.RelayState)
}

// Redirect is the query of the redirect binding with a detached signature; nil:
// without one.
func (l *Logout) Redirect(s *Signing) string { return Query(l.param(), l.XML(), l.RelayState, s) }

// Query makes the query of the redirect binding (SAML Bindings §3.4.4.1).
func Query(param, message, relayState string, s *Signing) string {
	q := param + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(Deflate([]byte(message))))
	if relayState != "" {
		q += "&RelayState=" + url.QueryEscape(relayState)
	}
	if s == nil {
		return q
	}
	q += "&SigAlg=" + url.QueryEscape(s.method())
	return q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(s.Raw([]byte(q))))
}

// Deflate compresses as the redirect binding does.
func Deflate(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	must(err)
	_, err = w.Write(b)
	must(err)
	must(w.Close())
	return out.Bytes()
}
