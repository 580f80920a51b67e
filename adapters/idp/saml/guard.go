package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// The namespaces that we read.
const (
	nsSAML  = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsDsig  = "http://www.w3.org/2000/09/xmldsig#"
	nsEnc   = "http://www.w3.org/2001/04/xmlenc#"
	nsEnc11 = "http://www.w3.org/2009/xmlenc11#"
	nsExc   = "http://www.w3.org/2001/10/xml-exc-c14n#"
	nsXSI   = "http://www.w3.org/2001/XMLSchema-instance"
	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// limits are what a document may be. They are checked token by token before
// anything is built of it, because whoever likes may send us one.
type limits struct {
	// bytes of the document, elements in it, and how deep they nest.
	bytes, elements, depth int
	// attributes of one element, namespace declarations among them, and declarations
	// in force at one place: canonicalisation copies those for every element.
	attributes, prefixes int
	// uri is how long a namespace name is: canonicalisation writes it out again wherever
	// it is used.
	uri int
}

// messageLimits are those of a protocol message: 5,000 groups fit, and the worst
// that fits costs less than 0.2 s (BenchmarkWorstMessage).
var messageLimits = limits{bytes: 256 << 10, elements: 10_000, depth: 32, attributes: 24, prefixes: 24, uri: 200}

// document is a parsed document that kept its limits.
type document struct {
	root *etree.Element
	// count says how often each element of the namespaces we read stands anywhere in it.
	count map[xml.Name]int
}

// parse reads a document from outside. There is one reading of what it accepts:
// no DOCTYPE, comment or processing instruction, no second root, no name that a
// second parser reads otherwise, no ID twice.
func parse(raw []byte, l limits) (*document, error) {
	s := newScanner(l)
	if _, err := s.scan(raw); err != nil {
		return nil, err
	}
	return s.tree(raw)
}

func (s *scanner) tree(raw []byte) (*document, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, fmt.Errorf("xml: %w", err)
	}
	root := doc.Root()
	if root == nil {
		return nil, errors.New("xml: no element")
	}
	return &document{root: root, count: s.count}, nil
}

func newScanner(l limits) *scanner {
	return &scanner{limits: l, ids: map[string]bool{}, count: map[xml.Name]int{}}
}

// scanner judges the tokens of one document.
type scanner struct {
	limits limits
	open   []xml.Name // as written: Space is the prefix
	scope  []binding
	ids    map[string]bool
	count  map[xml.Name]int
	total  int
	closed bool // the root element has ended
}

// binding is a namespace declaration in force down to a depth.
type binding struct {
	prefix, uri string
	depth       int
}

// scan reads all of raw. An error comes with how far it read.
func (s *scanner) scan(raw []byte) (int, error) {
	if len(raw) > s.limits.bytes {
		return 0, fmt.Errorf("document of %d bytes, at most %d are read", len(raw), s.limits.bytes)
	}
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		at := d.InputOffset()
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.token(t, at)
		} else {
			err = fmt.Errorf("xml: %s", outbound.Clip(err.Error(), 100))
		}
		if err != nil {
			return int(d.InputOffset()), err
		}
	}
	if !s.closed {
		return len(raw), errors.New("xml: the document ends early")
	}
	return len(raw), nil
}

func (s *scanner) token(t xml.Token, at int64) error {
	switch t := t.(type) {
	case xml.StartElement:
		return s.start(t)
	case xml.EndElement:
		return s.end(t.Name)
	case xml.CharData:
		if len(s.open) == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errors.New("text outside of the root element")
		}
	case xml.ProcInst:
		if t.Target != "xml" || at != 0 {
			return errors.New("processing instruction")
		}
	case xml.Comment:
		return errors.New("comment") // what stands around one is read in two ways (CVE-2017-11427 and its kin)
	case xml.Directive:
		return errors.New("DOCTYPE or other directive")
	}
	return nil
}

func (s *scanner) start(t xml.StartElement) error {
	s.total++
	switch {
	case s.closed:
		return errors.New("a second root element")
	case s.total > s.limits.elements:
		return fmt.Errorf("more than %d elements", s.limits.elements)
	case len(s.open) >= s.limits.depth:
		return fmt.Errorf("elements nest deeper than %d", s.limits.depth)
	case len(t.Attr) > s.limits.attributes:
		return fmt.Errorf("an element with more than %d attributes", s.limits.attributes)
	}
	s.open = append(s.open, t.Name)
	if err := s.declare(t.Attr); err != nil {
		return err
	}
	uri, err := s.resolve(t.Name)
	if err != nil {
		return err
	}
	if reads(uri) {
		s.count[xml.Name{Space: uri, Local: t.Name.Local}]++
	}
	return s.attributes(t.Attr, uri)
}

func (s *scanner) end(n xml.Name) error {
	depth := len(s.open)
	if depth == 0 || s.open[depth-1] != n {
		return errors.New("xml: an end tag that ends nothing")
	}
	s.open = s.open[:depth-1]
	for len(s.scope) > 0 && s.scope[len(s.scope)-1].depth == depth {
		s.scope = s.scope[:len(s.scope)-1]
	}
	s.closed = depth == 1
	return nil
}

// absolute is how a namespace name begins: a relative one makes canonicalisation
// fail, and a verifier that goes on then signs nothing (CVE-2025-66568).
var absolute = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$`)

func (s *scanner) declare(attrs []xml.Attr) error {
	for _, a := range attrs {
		prefix, ok := declared(a.Name)
		if !ok {
			continue
		}
		switch {
		case prefix == "xml" || prefix == "xmlns" || a.Value == nsXML || a.Value == nsXMLNS:
			return errors.New("a reserved namespace is declared")
		case a.Value == "" && prefix == "": // back to no namespace
		case len(a.Value) > s.limits.uri:
			return fmt.Errorf("a namespace of more than %d bytes", s.limits.uri)
		case !absolute.MatchString(a.Value):
			return errors.New("a namespace that is no absolute URI")
		}
		s.scope = append(s.scope, binding{prefix, a.Value, len(s.open)})
	}
	if len(s.scope) > s.limits.prefixes {
		return fmt.Errorf("more than %d namespace declarations in force", s.limits.prefixes)
	}
	return nil
}

// declared answers the prefix that an attribute declares, if it is a declaration.
func declared(n xml.Name) (string, bool) {
	switch {
	case n.Space == "xmlns":
		return n.Local, true
	case n.Space == "" && n.Local == "xmlns":
		return "", true
	}
	return "", false
}

// resolve answers the namespace of a name as it is written.
func (s *scanner) resolve(n xml.Name) (string, error) {
	if n.Local == "" || strings.Contains(n.Local, ":") || len(n.Local)+len(n.Space) > 256 || n.Space == "xmlns" {
		return "", errors.New("a malformed name") // <:x/>: Go reads back another one than it wrote (CVE-2020-29509)
	}
	if n.Space == "xml" {
		return nsXML, nil
	}
	for _, b := range slices.Backward(s.scope) {
		if b.prefix == n.Space {
			return b.uri, nil
		}
	}
	if n.Space == "" {
		return "", nil
	}
	return "", errors.New("an undeclared prefix")
}

var ncName = regexp.MustCompile(`^[A-Za-z_][\w.-]{0,255}$`)

// attributes judges what is no declaration. Libraries find attributes by local
// name: one in another namespace must not pass for the one we mean.
func (s *scanner) attributes(attrs []xml.Attr, element string) error {
	for i, a := range attrs {
		if _, ok := declared(a.Name); ok {
			if slices.ContainsFunc(attrs[:i], func(b xml.Attr) bool { return b.Name == a.Name }) {
				return errors.New("an attribute stands twice")
			}
			continue
		}
		if slices.ContainsFunc(attrs[:i], func(b xml.Attr) bool {
			_, decl := declared(b.Name)
			return !decl && b.Name.Local == a.Name.Local
		}) {
			return errors.New("two attributes with one local name")
		}
		if a.Name.Space != "" {
			uri, err := s.resolve(a.Name)
			if err != nil {
				return err
			}
			if strings.EqualFold(a.Name.Local, "id") || reads(element) && uri != nsXSI && uri != nsXML && deciding[a.Name.Local] {
				return fmt.Errorf("attribute %s in a namespace", outbound.Clip(a.Name.Local, 40))
			}
			continue
		}
		if a.Name.Local == "" || strings.Contains(a.Name.Local, ":") {
			return errors.New("a malformed name")
		}
		if strings.EqualFold(a.Name.Local, "id") {
			if err := s.id(a.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// id refuses one that stands twice: a reference would have two meanings (XSW).
func (s *scanner) id(v string) error {
	if !ncName.MatchString(v) {
		return errors.New("an ID that is no name")
	}
	if s.ids[v] {
		return errors.New("an ID stands twice")
	}
	s.ids[v] = true
	return nil
}

func reads(uri string) bool {
	switch uri {
	case nsSAML, nsSAMLP, nsDsig, nsEnc, nsEnc11, nsExc:
		return true
	}
	return false
}

// deciding are the attributes that decide something in the namespaces we read.
var deciding = map[string]bool{
	"Algorithm": true, "URI": true, "PrefixList": true, "Type": true, "Version": true, "IssueInstant": true,
	"Destination": true, "InResponseTo": true, "Recipient": true, "Method": true, "NotBefore": true, "NotOnOrAfter": true,
	"Name": true, "NameFormat": true, "FriendlyName": true, "Value": true, "Format": true, "NameQualifier": true,
	"SPNameQualifier": true, "AuthnInstant": true, "SessionIndex": true, "SessionNotOnOrAfter": true, "Reason": true,
}
