package saml

import (
	"context"
	"encoding/base64"
	"strconv"

	"github.com/beevik/etree"

	"github.com/sallyport-gateway/sallyport/flows"
)

const metadataType = "application/samlmetadata+xml"

// encryptions are what we decrypt, the best first.
var encryptions = []string{
	"http://www.w3.org/2009/xmlenc11#aes256-gcm",
	"http://www.w3.org/2009/xmlenc11#aes128-gcm",
	"http://www.w3.org/2001/04/xmlenc#aes256-cbc",
	"http://www.w3.org/2001/04/xmlenc#aes128-cbc",
	"http://www.w3.org/2009/xmlenc11#rsa-oaep",
	"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
}

// Publish answers our metadata, for who sets up the identity provider.
func (s *SAML) Publish(ctx context.Context, name, base string) (flows.Document, error) {
	if name != "metadata" {
		return flows.Document{}, flows.ErrNotFound
	}
	keys, err := s.spKeys(ctx)
	if err != nil {
		return flows.Document{}, err
	}
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	doc.SetRoot(s.describe(keys, base))
	doc.Indent(2)
	body, err := doc.WriteToBytes()
	if err != nil {
		return flows.Document{}, flows.Refuse(flows.ReasonInternal, err)
	}
	return flows.Document{Type: metadataType, Body: body}, nil
}

// describe is our EntityDescriptor (SAML Metadata §2.3.2, §2.4.4). It says nothing
// of time: keys are rolled over by publishing both.
func (s *SAML) describe(keys []spKey, base string) *etree.Element {
	el := etree.NewElement("md:EntityDescriptor")
	el.CreateAttr("xmlns:md", "urn:oasis:names:tc:SAML:2.0:metadata")
	el.CreateAttr("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#")
	el.CreateAttr("entityID", s.entityID(base))
	sp := el.CreateElement("md:SPSSODescriptor")
	sp.CreateAttr("protocolSupportEnumeration", nsSAMLP)
	sp.CreateAttr("AuthnRequestsSigned", strconv.FormatBool(s.signs()))
	sp.CreateAttr("WantAssertionsSigned", "true")
	for _, use := range []string{"signing", "encryption"} {
		for _, k := range keys {
			describeKey(sp, use, k)
		}
	}
	for _, binding := range []string{redirectBinding, postBinding} {
		address := sp.CreateElement("md:SingleLogoutService")
		address.CreateAttr("Binding", binding)
		address.CreateAttr("Location", base+"/slo")
	}
	if s.NameIDFormat != "" {
		child(sp, "md:NameIDFormat", s.NameIDFormat)
	}
	acs := sp.CreateElement("md:AssertionConsumerService")
	acs.CreateAttr("Binding", postBinding)
	acs.CreateAttr("Location", base+"/acs")
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	return el
}

// signs reports whether AuthnRequests are signed, as far as is known now.
func (s *SAML) signs() bool {
	if s.SignRequests {
		return true
	}
	m := s.src.last()
	return m != nil && m.WantSigned
}

func describeKey(sp *etree.Element, use string, k spKey) {
	el := sp.CreateElement("md:KeyDescriptor")
	el.CreateAttr("use", use)
	cert := el.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").CreateElement("ds:X509Certificate")
	cert.SetText(base64.StdEncoding.EncodeToString(k.Cert.Raw))
	if use != "encryption" {
		return
	}
	for _, alg := range encryptions {
		el.CreateElement("md:EncryptionMethod").CreateAttr("Algorithm", alg)
	}
}
