package saml

import (
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/beevik/etree"
)

// loneChild is the assertion of a Response, plain or encrypted; nil if there is
// none. There is one in the whole document, where it belongs, and so are the
// signatures: what nobody looks for hides nowhere (XSW).
func loneChild(doc *document) (*etree.Element, error) {
	kids := append(children(doc.root, nsSAML, "Assertion"), children(doc.root, nsSAML, "EncryptedAssertion")...)
	total := doc.count[expanded(nsSAML, "Assertion")] + doc.count[expanded(nsSAML, "EncryptedAssertion")]
	if total > 1 {
		return nil, fmt.Errorf("%d assertions in one answer", total)
	}
	if total != len(kids) {
		return nil, errors.New("an assertion in the wrong place")
	}
	if doc.count[expanded(nsSAMLP, "Response")] != 1 {
		return nil, errors.New("a Response inside of a Response")
	}
	places := []*etree.Element{doc.root}
	places = append(places, kids...)
	if err := signaturesIn(doc, places); err != nil {
		return nil, err
	}
	if len(kids) == 0 {
		return nil, nil
	}
	return kids[0], nil
}

// loneAssertion is the same for a document that is an assertion.
func loneAssertion(doc *document) error {
	if !is(doc.root, nsSAML, "Assertion") {
		return errors.New("no assertion")
	}
	if doc.count[expanded(nsSAML, "Assertion")] != 1 || doc.count[expanded(nsSAML, "EncryptedAssertion")] != 0 || doc.count[expanded(nsSAMLP, "Response")] != 0 {
		return errors.New("something else inside of the assertion")
	}
	return signaturesIn(doc, []*etree.Element{doc.root})
}

// signaturesIn: every signature is a child of what it may sign, one for each.
func signaturesIn(doc *document, places []*etree.Element) error {
	n := 0
	for _, p := range places {
		own := len(children(p, nsDsig, "Signature"))
		if own > 1 {
			return fmt.Errorf("%d signatures on one %s", own, p.Tag)
		}
		n += own
	}
	switch {
	case n != doc.count[expanded(nsDsig, "Signature")]:
		return errors.New("a signature in the wrong place")
	case doc.count[expanded(nsDsig, "Object")] != 0:
		return errors.New("a signature with an Object")
	}
	return nil
}

// expanded makes the expanded name of an element.
func expanded(ns, tag string) xml.Name { return xml.Name{Space: ns, Local: tag} }
