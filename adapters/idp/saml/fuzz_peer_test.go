package saml

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// fuzzCert is of a key that every worker process makes in no time.
var fuzzCert = sync.OnceValue(func() *x509.Certificate {
	scalar := big.NewInt(20260301).FillBytes(make([]byte, 32))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		panic(err)
	}
	return certificate(key)
})

// fuzzKey is short for the same reason.
var fuzzKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

func FuzzMetadata(f *testing.F) {
	certs := []*x509.Certificate{fuzzCert()}
	for _, d := range []description{
		{},
		{until: "2026-03-02T12:00:00Z", cache: "P1DT2H", attributes: `WantAuthnRequestsSigned="true"`, slo: []endpoint{{Binding: postBinding, Location: "https://idp.example/slo"}}},
		{prolog: `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>`},
		{more: `<md:Extensions><shibmd:Scope>example.org</shibmd:Scope></md:Extensions>`},
	} {
		d.certs = certs
		f.Add([]byte(d.String()))
	}
	f.Add([]byte(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata"><EntityDescriptor entityID="x"><IDPSSODescriptor/></EntityDescriptor></EntitiesDescriptor>`))
	f.Add([]byte("<:x/>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		m, err := parseMetadata(doc, flowstest.Start)
		if err != nil {
			if m != nil || strings.Contains(err.Error(), "panic") {
				t.Fatalf("%+v, %v", m, err)
			}
			return
		}
		if m.EntityID == "" || len(m.Certs) == 0 || len(m.SSO) == 0 || m.expired(flowstest.Start) {
			t.Fatalf("unusable metadata is taken: %+v", m)
		}
		for _, e := range append(m.SSO, m.SLO...) {
			if usable(e.Location) != nil || usable(e.answerTo()) != nil {
				t.Fatalf("unusable address %+v", e)
			}
		}
		// What the store keeps of it says the same.
		b, err := json.Marshal(newRecord("here", m))
		if err != nil {
			t.Fatal(err)
		}
		kept := parseRecord(b, "here")
		if kept == nil {
			t.Fatalf("nothing is kept of %+v", m)
		}
		if kept.Cache = m.Cache; !kept.says(m) {
			t.Fatalf("kept %+v of %+v", kept, m)
		}
	})
}

// Whatever comes to /slo is refused, and nothing panics: neither before the
// signature, nor behind it, where a provider's own words are read.
func FuzzLogout(f *testing.F) {
	peer := &idp{EntityID: idpEntity, Certs: []*x509.Certificate{fuzzCert()}, SLO: withSLO.slo}
	state := "a state"
	for _, field := range []string{"SAMLRequest", "SAMLResponse"} {
		el := message("LogoutRequest", newID(), flowstest.Start, base+"/slo", idpEntity)
		child(el, "saml:NameID", alice.Value).CreateAttr("Format", alice.Format)
		child(el, "samlp:SessionIndex", "one")
		if field == "SAMLResponse" {
			el = message("LogoutResponse", newID(), flowstest.Start, base+"/slo", idpEntity)
			el.CreateAttr("InResponseTo", logoutID(state))
			el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", statusSuccess)
		}
		raw, err := serialise(el)
		if err != nil {
			f.Fatal(err)
		}
		out, err := parcel{field: field, el: el, relay: state, to: base + "/slo", by: redirectBinding}.outcome()
		if err != nil {
			f.Fatal(err)
		}
		_, query, _ := strings.Cut(flowstest.Look(out).URL, "?")
		query += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256") + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(make([]byte, 64)))
		f.Add(query, base64.StdEncoding.EncodeToString(raw), string(raw))
	}
	f.Add("SAMLResponse=&SigAlg=&Signature=AAAA", "AAAA", "<:x/>")
	now := func() time.Time { return flowstest.Start }
	f.Fuzz(func(t *testing.T, query, form, inner string) {
		s := &SAML{now: now, src: &source{now: now, good: peer, restored: true, tried: flowstest.Start, place: "https://idp.example/m"}}
		s.keys.configured = []spKey{{Key: fuzzKey()}}
		s.warming.Store(true)
		for _, c := range []flows.Callback{
			getOf(base+"/slo", query),
			{URL: base + "/slo", Method: "POST", Values: map[string][]string{"SAMLRequest": {form}, "RelayState": {query}}},
			{URL: base + "/slo", Method: "POST", Values: map[string][]string{"SAMLResponse": {form}, "RelayState": {query}}},
		} {
			lm, err := s.ReceiveLogout(t.Context(), c)
			if err == nil || lm.Claim != nil || lm.State != "" {
				t.Fatalf("nobody signed it, and it is taken: %+v", lm)
			}
			if reason := flows.ReasonOf(err); reason == flows.ReasonInternal || strings.Contains(err.Error(), "could not be read") {
				t.Fatalf("%s: %v", reason, err)
			}
		}
		doc, err := parse([]byte(inner), messageLimits)
		if err != nil {
			return
		}
		m := reception{s: s, peer: peer, acs: base + "/slo", entity: base + "/metadata", now: flowstest.Start, skew: s.skew()}
		lm, err := m.logoutAsked(t.Context(), delivered{el: doc.root, binding: postBinding})
		if err == nil && (len(lm.Claim.LogoutKeys) == 0 || lm.Claim.Once.ID == "" || lm.Claim.Once.Until.Before(flowstest.Start)) {
			t.Fatalf("%+v", lm.Claim)
		}
		if lm, err := m.logoutAnswer(delivered{el: doc.root, answer: true, relay: state}); err == nil && lm.State != state {
			t.Fatalf("%+v", lm)
		}
	})
}
