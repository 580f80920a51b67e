package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
)

// newID is a message's ID: at least 128 random bits, and no digit first (SAML Core §1.3.4).
func newID() string { return "_" + rand.Text() }

// message begins a protocol message of ours (SAML Core §3.2).
func message(tag, id string, now time.Time, destination, issuer string) *etree.Element {
	el := etree.NewElement("samlp:" + tag)
	el.CreateAttr("xmlns:samlp", nsSAMLP)
	el.CreateAttr("xmlns:saml", nsSAML)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", xmlTime(now))
	el.CreateAttr("Destination", destination)
	child(el, "saml:Issuer", issuer)
	return el
}

func child(parent *etree.Element, tag, text string) *etree.Element {
	el := parent.CreateElement(tag)
	if text != "" {
		el.SetText(text)
	}
	return el
}

func xmlTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// serialise writes a message as it was signed: nothing is indented.
func serialise(el *etree.Element) ([]byte, error) {
	return etree.NewDocumentWithRoot(el).WriteToBytes()
}

// parcel is a message of ours on its way through the browser.
type parcel struct {
	field string // SAMLRequest or SAMLResponse
	el    *etree.Element
	relay string
	to    string
	by    string // the binding
	key   *spKey // nil: unsigned
}

// outcome sends it by its binding.
func (p parcel) outcome() (flows.Outcome, error) {
	if p.by == postBinding {
		return p.post()
	}
	return p.redirect()
}

// redirect is the HTTP-Redirect binding with the DEFLATE encoding (SAML Bindings §3.4.4).
func (p parcel) redirect() (flows.Outcome, error) {
	raw, err := serialise(p.el)
	if err != nil {
		return nil, err
	}
	var small bytes.Buffer
	w, err := flate.NewWriter(&small, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	query := p.field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(small.Bytes()))
	if p.relay != "" {
		query += "&RelayState=" + url.QueryEscape(p.relay)
	}
	if p.key != nil {
		if query, err = signQuery(query, p.key); err != nil {
			return nil, err
		}
	}
	sep := "?"
	if strings.Contains(p.to, "?") {
		sep = "&"
	}
	return flows.Redirect(p.to + sep + query), nil
}

// post is the HTTP-POST binding (SAML Bindings §3.5.4).
func (p parcel) post() (flows.Outcome, error) {
	if p.key != nil {
		if err := signEnveloped(p.el, p.key); err != nil {
			return nil, err
		}
	}
	raw, err := serialise(p.el)
	if err != nil {
		return nil, err
	}
	fields := []flows.FormField{{Name: p.field, Value: base64.StdEncoding.EncodeToString(raw)}}
	if p.relay != "" {
		fields = append(fields, flows.FormField{Name: "RelayState", Value: p.relay})
	}
	return flows.Post(p.to, fields), nil
}
