package kerberos

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxToken is the longest answer that is read: Windows makes none that is longer.
const maxToken = 65535

// The mechanisms (RFC 4178 §3, RFC 4121 §4.1, [MS-SPNG] 1.9).
var (
	oidSPNEGO = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKRB5   = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	oidMSKRB5 = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
)

// apReqID stands in front of an AP-REQ (RFC 4121 §4.1).
var apReqID = []byte{1, 0}

// Tags: [APPLICATION 0] of GSS-API (RFC 2743 §3.1), and those of NegTokenInit (RFC 4178 §4.2.1).
const (
	tagGSS       = cbasn1.Tag(0x60)
	tagInit      = cbasn1.Tag(0xa0)
	tagMechTypes = cbasn1.Tag(0xa0)
	tagReqFlags  = cbasn1.Tag(0xa1)
	tagMechToken = cbasn1.Tag(0xa2)
	tagMIC       = cbasn1.Tag(0xa3)
)

var (
	errNTLM      = errors.New("the browser has no ticket for this host and sent NTLM")
	errMalformed = errors.New("malformed token")
)

// unwrap finds the AP-REQ in what a browser sent: SPNEGO whose first choice is Kerberos
// and which brings it along, or Kerberos alone.
func unwrap(token []byte) ([]byte, error) {
	switch {
	case len(token) == 0:
		return nil, errors.New("the token is empty or cannot be read")
	case len(token) > maxToken:
		return nil, fmt.Errorf("the token has %d bytes, at most %d are read", len(token), maxToken)
	case bytes.HasPrefix(token, []byte("NTLMSSP\x00")):
		return nil, errNTLM
	}
	mech, rest, err := gss(token)
	if err != nil {
		return nil, err
	}
	if mech.Equal(oidSPNEGO) {
		if rest, err = mechToken(rest); err != nil {
			return nil, err
		}
		if mech, rest, err = gss(rest); err != nil {
			return nil, err
		}
	}
	if !mech.Equal(oidKRB5) && !mech.Equal(oidMSKRB5) {
		return nil, fmt.Errorf("mechanism %s is not Kerberos", mech)
	}
	req, ok := bytes.CutPrefix(rest, apReqID)
	if !ok {
		return nil, errors.New("the token is no AP-REQ")
	}
	return req, nil
}

// gss takes a mechanism and what it says out of their frame.
func gss(b []byte) (mech asn1.ObjectIdentifier, rest []byte, err error) {
	in := cryptobyte.String(b)
	var body cryptobyte.String
	if !in.ReadASN1(&body, tagGSS) || !in.Empty() || !body.ReadASN1ObjectIdentifier(&mech) {
		return nil, nil, errMalformed
	}
	return mech, body, nil
}

// mechToken is what the first mechanism of a NegTokenInit says, if that is Kerberos.
func mechToken(b []byte) ([]byte, error) {
	in := cryptobyte.String(b)
	var init, fields, list, mechs cryptobyte.String
	if !in.ReadASN1(&init, tagInit) || !in.Empty() || !init.ReadASN1(&fields, cbasn1.SEQUENCE) || !init.Empty() ||
		!fields.ReadASN1(&list, tagMechTypes) || !list.ReadASN1(&mechs, cbasn1.SEQUENCE) || !list.Empty() {
		return nil, errMalformed
	}
	var offered []asn1.ObjectIdentifier
	for !mechs.Empty() {
		var mech asn1.ObjectIdentifier
		if !mechs.ReadASN1ObjectIdentifier(&mech) {
			return nil, errMalformed
		}
		offered = append(offered, mech)
	}
	kerberos := func(m asn1.ObjectIdentifier) bool { return m.Equal(oidKRB5) || m.Equal(oidMSKRB5) }
	switch {
	case !slices.ContainsFunc(offered, kerberos):
		return nil, fmt.Errorf("%w: it offers %v", errNTLM, offered)
	case !kerberos(offered[0]):
		return nil, fmt.Errorf("the browser prefers mechanism %s to Kerberos", offered[0])
	}
	var wrapped, token cryptobyte.String
	var there bool
	if !fields.SkipOptionalASN1(tagReqFlags) || !fields.ReadOptionalASN1(&wrapped, &there, tagMechToken) ||
		!fields.SkipOptionalASN1(tagMIC) || !fields.Empty() {
		return nil, errMalformed
	}
	if !there || !wrapped.ReadASN1(&token, cbasn1.OCTET_STRING) || !wrapped.Empty() {
		return nil, errors.New("the token brings no ticket along")
	}
	return token, nil
}
