package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const deflate = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"

// delivered is a logout message whose signature was good.
type delivered struct {
	// el is what was signed; nothing else may be read.
	el      *etree.Element
	answer  bool // a response, else a request
	binding string
	// relay is the RelayState; the redirect binding signs it, the other does not.
	relay string
}

// openLogout takes a message out of its binding and verifies its signature.
func openLogout(c flows.Callback, p *idp) (delivered, error) {
	switch c.Method {
	case "GET":
		return openRedirect(c.Query, p)
	case "POST":
		return openPosted(c, p)
	}
	return delivered{}, fmt.Errorf("a logout message that came by %s", outbound.Clip(c.Method, 10))
}

// openRedirect reads the HTTP-Redirect binding (SAML Bindings §3.4.4). The
// signature is checked over the octets as they came, before they are read.
func openRedirect(query string, p *idp) (delivered, error) {
	q, err := parseSigned(query)
	if err != nil {
		return delivered{}, err
	}
	if err := verifyDetached(q.method, []byte(q.signed), q.signature, p.Certs); err != nil {
		return delivered{}, err
	}
	raw, err := inflate(q.message)
	if err != nil {
		return delivered{}, err
	}
	doc, err := parse(raw, messageLimits)
	if err != nil {
		return delivered{}, err
	}
	return delivered{el: doc.root, answer: q.field == "SAMLResponse", binding: redirectBinding, relay: q.relay}, nil
}

// openPosted reads the HTTP-POST binding (SAML Bindings §3.5.4).
func openPosted(c flows.Callback, p *idp) (delivered, error) {
	d := delivered{binding: postBinding, relay: first(c.Values, "RelayState"), answer: first(c.Values, "SAMLResponse") != ""}
	field := "SAMLRequest"
	if d.answer {
		field = "SAMLResponse"
	}
	if d.answer && first(c.Values, "SAMLRequest") != "" {
		return d, errors.New("a request and a response in one message")
	}
	if len(d.relay) > maxState {
		return d, errors.New("a RelayState that is too long")
	}
	raw, err := postedMessage(c, field)
	if err != nil {
		return d, err
	}
	doc, err := parse(raw, messageLimits)
	if err != nil {
		return d, err
	}
	if err := signaturesIn(doc, []*etree.Element{doc.root}); err != nil {
		return d, err
	}
	d.el, err = verifyEnveloped(doc.root, p.Certs)
	return d, err
}

// signedQuery is a query of the redirect binding, taken apart without changing an octet.
type signedQuery struct {
	field, message, relay string
	method                string
	// signed are the octets that the signature is over.
	signed    string
	signature []byte
}

// queryParams are the parameters of the redirect binding.
var queryParams = []string{"SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding", "SAMLart"}

// parseSigned finds the parameters and puts together what was signed: message,
// RelayState and SigAlg in this order, each as it was encoded (SAML Bindings
// §3.4.4.1). A name that stands twice, or in another spelling, is refused:
// somebody else would read the other one.
func parseSigned(query string) (signedQuery, error) {
	pairs, err := rawPairs(query)
	if err != nil {
		return signedQuery{}, err
	}
	var q signedQuery
	for _, name := range []string{"SAMLRequest", "SAMLResponse"} {
		if _, there := pairs[name]; there {
			if q.field != "" {
				return q, errors.New("a request and a response in one message")
			}
			q.field = name
		}
	}
	_, art := pairs["SAMLart"]
	encoding, there := pairs["SAMLEncoding"]
	switch {
	case q.field == "":
		return q, errors.New("no SAMLRequest and no SAMLResponse")
	case art:
		return q, errors.New("an artifact beside a message")
	case there && unescape(encoding) != deflate:
		return q, fmt.Errorf("SAMLEncoding %q is not known", outbound.Clip(encoding, 100))
	}
	if err := q.collect(pairs); err != nil {
		return q, err
	}
	if len(q.message) > maxMessage || len(q.relay) > maxState {
		return q, flows.Refuse(flows.ReasonTooLarge, errors.New("a logout message or its RelayState is too long"))
	}
	return q, nil
}

func (q *signedQuery) collect(pairs map[string]string) error {
	_, hasMethod := pairs["SigAlg"]
	_, hasSignature := pairs["Signature"]
	if !hasMethod || !hasSignature {
		return errUnsigned
	}
	for _, name := range []string{q.field, "RelayState", "SigAlg"} {
		if raw, there := pairs[name]; there {
			if q.signed != "" {
				q.signed += "&"
			}
			q.signed += name + "=" + raw
		}
	}
	q.message, q.relay, q.method = unescape(pairs[q.field]), unescape(pairs["RelayState"]), unescape(pairs["SigAlg"])
	var err error
	q.signature, err = base64.StdEncoding.DecodeString(withoutBreaks(unescape(pairs["Signature"])))
	if err != nil || len(q.signature) == 0 || len(q.signature) > 2048 {
		return errors.New("a malformed Signature")
	}
	return nil
}

// rawPairs are the values of our parameters as they were encoded, by name.
func rawPairs(query string) (map[string]string, error) {
	if len(query) > 3*maxMessage {
		return nil, flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("a query of %d bytes", len(query)))
	}
	pairs := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		raw, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil {
			return nil, errors.New("a malformed query")
		}
		if !slices.Contains(queryParams, name) {
			continue
		}
		if _, twice := pairs[name]; twice || raw != name {
			return nil, fmt.Errorf("parameter %s stands twice, or in another spelling", name)
		}
		if _, err := url.QueryUnescape(value); err != nil {
			return nil, fmt.Errorf("parameter %s is malformed", name)
		}
		pairs[name] = value
	}
	return pairs, nil
}

// unescape decodes what rawPairs found decodable.
func unescape(raw string) string {
	v, err := url.QueryUnescape(raw)
	if err != nil {
		return ""
	}
	return v
}

func withoutBreaks(s string) string {
	return strings.NewReplacer("\r", "", "\n", "", " ", "").Replace(s)
}

// inflate undoes the DEFLATE encoding and stops at the size of a message: ten
// kilobytes can stand for a hundred megabytes (S5).
func inflate(message string) ([]byte, error) {
	small, err := base64.StdEncoding.DecodeString(withoutBreaks(message))
	if err != nil {
		return nil, errors.New("the message is no base64")
	}
	r := flate.NewReader(bytes.NewReader(small))
	raw, err := io.ReadAll(io.LimitReader(r, int64(messageLimits.bytes)+1))
	switch {
	case len(raw) > messageLimits.bytes:
		return nil, flows.Refuse(flows.ReasonTooLarge, fmt.Errorf("a message of more than %d bytes", messageLimits.bytes))
	case err != nil:
		return nil, errors.New("the message is not deflated")
	}
	return raw, nil
}
