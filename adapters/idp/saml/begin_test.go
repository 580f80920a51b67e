package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	samllib "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func start() flows.Start {
	return flows.Start{CallbackURL: base + "/acs", Handle: "a-handle", MaxAge: -1}
}

// begun is what Begin sent, as the provider sees it.
type begun struct {
	seen    flowstest.Seen
	el      *etree.Element
	pending pending
}

func (r *rig) begin(s flows.Start) begun {
	r.t.Helper()
	out, private, err := r.s.Begin(r.t.Context(), s)
	if err != nil {
		r.t.Fatalf("begin: %v", err)
	}
	b := begun{seen: flowstest.Look(out)}
	b.el = sent(r.t, b.seen, "SAMLRequest")
	if err := json.Unmarshal(private, &b.pending); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// sent is a message of ours as it arrives.
func sent(t *testing.T, s flowstest.Seen, field string) *etree.Element {
	t.Helper()
	var text string
	switch s.Kind {
	case "redirect":
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		text = u.Query().Get(field)
	case "post":
		text = fieldOf(s, field)
	default:
		t.Fatalf("%s is sent by %q", field, s.Kind)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		t.Fatalf("no %s: %v", field, err)
	}
	if s.Kind == "redirect" {
		if raw, err = io.ReadAll(flate.NewReader(bytes.NewReader(raw))); err != nil {
			t.Fatal(err)
		}
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	return doc.Root()
}

func fieldOf(s flowstest.Seen, name string) string {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func TestBegin(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{sso: []endpoint{
		{Binding: postBinding, Location: "https://idp.example/post"}, {Binding: redirectBinding, Location: "https://idp.example/sso?tenant=1"},
	}}, nil)
	b := r.begin(start())
	if !strings.HasPrefix(b.seen.URL, "https://idp.example/sso?tenant=1&SAMLRequest=") || strings.Contains(b.seen.URL, "Signature") {
		t.Errorf("sent to %s", b.seen.URL)
	}
	u, _ := url.Parse(b.seen.URL)
	if got := u.Query().Get("RelayState"); got != "a-handle" {
		t.Errorf("RelayState = %q", got)
	}
	for name, want := range map[string]string{
		"Version": "2.0", "IssueInstant": "2026-03-01T12:00:00Z", "Destination": "https://idp.example/sso?tenant=1",
		"AssertionConsumerServiceURL": base + "/acs", "ProtocolBinding": postBinding, "ForceAuthn": "", "IsPassive": "",
		"AssertionConsumerServiceIndex": "", "ID": b.pending.ID,
	} {
		if got := b.el.SelectAttrValue(name, ""); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := b.el.SelectElement("Issuer").Text(); got != base+"/metadata" {
		t.Errorf("Issuer = %q", got)
	}
	// Nothing that a provider could refuse unless somebody asked for it (SDP-SP04, SP07).
	if p := b.el.SelectElement("NameIDPolicy"); p == nil || p.SelectAttr("Format") != nil || p.SelectAttrValue("AllowCreate", "") != "true" {
		t.Error("NameIDPolicy is not the plain one")
	}
	for _, tag := range []string{"RequestedAuthnContext", "Subject", "Scoping", "Conditions", "Signature"} {
		if b.el.SelectElement(tag) != nil {
			t.Errorf("the request has a %s", tag)
		}
	}
	want := pending{ID: b.pending.ID, Callback: base + "/acs", Entity: base + "/metadata", Issuer: idpEntity, MaxAge: -1, Begun: flowstest.Start.Unix()}
	got, _ := json.Marshal(b.pending)
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) {
		t.Errorf("pending = %s, want %s", got, wanted)
	}
	if other := r.begin(start()); other.pending.ID == b.pending.ID || len(b.pending.ID) < 24 {
		t.Errorf("IDs %s and %s", b.pending.ID, other.pending.ID)
	}
	if _, _, err := r.s.Begin(t.Context(), flows.Start{Handle: "x"}); flows.ReasonOf(err) != flows.ReasonInternal {
		t.Errorf("without a callback: %v", err)
	}
}

func TestBeginWishes(t *testing.T) {
	t.Parallel()
	const mfa, x509Class = "https://refeds.org/profile/mfa", "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
	for _, tc := range []struct {
		name     string
		edit     func(*SAML)
		start    func(*flows.Start)
		force    bool
		contexts []string
		format   string
		entity   string
	}{
		{name: "force_authn", edit: func(s *SAML) { s.ForceAuthn = true }, force: true},
		{name: "fresh", start: func(s *flows.Start) { s.Fresh = true }, force: true},
		{name: "max age", start: func(s *flows.Start) { s.MaxAge = 5 * time.Minute }, force: true},
		{name: "authn_context", edit: func(s *SAML) { s.AuthnContext = []string{x509Class, mfa} }, contexts: []string{x509Class, mfa}},
		{name: "flow's context", edit: func(s *SAML) { s.AuthnContext = []string{x509Class} }, start: func(s *flows.Start) { s.ACR = []string{mfa} }, contexts: []string{mfa}},
		{name: "name_id_format", edit: func(s *SAML) { s.NameIDFormat = unspecified }, format: unspecified},
		{name: "entity_id", edit: func(s *SAML) { s.EntityID = "urn:example:gateway" }, entity: "urn:example:gateway"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, description{}, tc.edit)
			s := start()
			if tc.start != nil {
				tc.start(&s)
			}
			b := r.begin(s)
			if got := b.el.SelectAttrValue("ForceAuthn", "") == "true"; got != tc.force {
				t.Errorf("ForceAuthn = %v", got)
			}
			var classes []string
			if c := b.el.SelectElement("RequestedAuthnContext"); c != nil {
				if c.SelectAttrValue("Comparison", "") != "exact" {
					t.Error("the comparison is not exact")
				}
				for _, el := range c.SelectElements("AuthnContextClassRef") {
					classes = append(classes, el.Text())
				}
			}
			if strings.Join(classes, " ") != strings.Join(tc.contexts, " ") || strings.Join(b.pending.ACR, " ") != strings.Join(tc.contexts, " ") {
				t.Errorf("contexts = %q, kept %q, want %q", classes, b.pending.ACR, tc.contexts)
			}
			if got := b.el.SelectElement("NameIDPolicy").SelectAttrValue("Format", ""); got != tc.format {
				t.Errorf("Format = %q", got)
			}
			if tc.entity != "" && (b.pending.Entity != tc.entity || b.el.SelectElement("Issuer").Text() != tc.entity) {
				t.Errorf("entity = %q", b.pending.Entity)
			}
			if fresh := s.Fresh || r.s.ForceAuthn; b.pending.Fresh != fresh || b.pending.MaxAge != seconds(s.MaxAge) {
				t.Errorf("pending = %+v", b.pending)
			}
		})
	}
}

// A signed request of the redirect binding bears a signature over the octets as
// they are sent; one by form bears it inside (SAML Bindings §3.4.4.1, §3.5.5.1).
func TestBeginSigned(t *testing.T) {
	t.Parallel()
	own := testKeys()[2]
	for name, edit := range map[string]func(*SAML, *description){
		"sign_requests": func(s *SAML, _ *description) { s.SignRequests = true },
		"metadata":      func(_ *SAML, d *description) { d.attributes = `WantAuthnRequestsSigned="true"` },
	} {
		for _, binding := range []string{redirectBinding, postBinding} {
			d := description{sso: []endpoint{{Binding: binding, Location: "https://idp.example/sso"}}}
			edit(&SAML{}, &d)
			r := newRig(t, d, func(s *SAML) { edit(s, &description{}) })
			b := r.begin(start())
			if binding == redirectBinding {
				verifyQuery(t, b.seen.URL, own.cert)
				continue
			}
			ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{own.cert}})
			ctx.Clock = dsig.NewFakeClockAt(own.cert.NotBefore)
			if _, err := ctx.Validate(b.el); err != nil {
				t.Errorf("%s by form: %v", name, err)
			}
			if kids := b.el.ChildElements(); kids[0].Tag != "Issuer" || kids[1].Tag != "Signature" {
				t.Errorf("%s by form: the signature is not behind the Issuer", name)
			}
			if fieldOf(b.seen, "RelayState") != "a-handle" || b.seen.URL != "https://idp.example/sso" {
				t.Errorf("%s by form: %+v", name, b.seen)
			}
		}
	}
}

// verifyQuery checks a detached signature as the far side does.
func verifyQuery(t *testing.T, address string, cert *x509.Certificate) {
	t.Helper()
	_, query, _ := strings.Cut(address, "?")
	signed, sig, ok := strings.Cut(query, "&Signature=")
	text, _ := url.QueryUnescape(sig)
	value, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || !strings.HasPrefix(signed, "SAML") || !strings.HasSuffix(signed, "&SigAlg="+url.QueryEscape(dsig.RSASHA256SignatureMethod)) {
		t.Fatalf("no signature in %s: %v", address, err)
	}
	sum := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], value); err != nil {
		t.Errorf("the signature of %s: %v", address, err)
	}
}

// Our metadata reads back as what it is meant to be, by another implementation.
func TestPublish(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{attributes: `WantAuthnRequestsSigned="true"`}, nil)
	read := func(s *SAML) *samllib.EntityDescriptor {
		t.Helper()
		doc, err := s.Publish(t.Context(), "metadata", base)
		if err != nil || doc.Type != "application/samlmetadata+xml" {
			t.Fatalf("%q, %v", doc.Type, err)
		}
		var d samllib.EntityDescriptor
		if err := xmlUnmarshal(doc.Body, &d); err != nil {
			t.Fatalf("%v\n%s", err, doc.Body)
		}
		return &d
	}
	d := read(r.s)
	if d.EntityID != base+"/metadata" || len(d.SPSSODescriptors) != 1 || len(d.IDPSSODescriptors) != 0 {
		t.Fatalf("%+v", d)
	}
	sp := d.SPSSODescriptors[0]
	if !*sp.WantAssertionsSigned || *sp.AuthnRequestsSigned || len(sp.NameIDFormats) != 0 {
		t.Errorf("%+v", sp)
	}
	if acs := sp.AssertionConsumerServices; len(acs) != 1 || acs[0].Binding != postBinding || acs[0].Location != base+"/acs" || acs[0].Index != 0 || !*acs[0].IsDefault {
		t.Errorf("acs = %+v", acs)
	}
	if slo := sp.SingleLogoutServices; len(slo) != 2 || slo[0].Binding != redirectBinding || slo[1].Binding != postBinding || slo[0].Location != base+"/slo" {
		t.Errorf("slo = %+v", slo)
	}
	own := base64.StdEncoding.EncodeToString(testKeys()[2].cert.Raw)
	if keys := sp.KeyDescriptors; len(keys) != 2 || keys[0].Use != "signing" || keys[1].Use != "encryption" || keys[1].KeyInfo.X509Data.X509Certificates[0].Data != own || len(keys[1].EncryptionMethods) != len(encryptions) {
		t.Errorf("keys = %+v", keys)
	}
	r.peer() // now it is known that this provider wants signed requests
	if d := read(r.s); !*d.SPSSODescriptors[0].AuthnRequestsSigned {
		t.Error("AuthnRequestsSigned is not what is done")
	}
	rolled := r.guest(func(s *SAML) {
		s.EntityID, s.NameIDFormat, s.SignRequests = "urn:example:gateway", unspecified, true
		s.Keys = []KeyPair{pemPair(t, testKeys()[0]), pemPair(t, testKeys()[1])}
	})
	d = read(rolled)
	sp = d.SPSSODescriptors[0]
	if d.EntityID != "urn:example:gateway" || len(sp.KeyDescriptors) != 4 || !*sp.AuthnRequestsSigned || len(sp.NameIDFormats) != 1 {
		t.Errorf("%+v", sp)
	}
	if got := sp.KeyDescriptors[0].KeyInfo.X509Data.X509Certificates[0].Data; got != base64.StdEncoding.EncodeToString(testKeys()[0].cert.Raw) {
		t.Error("the first key is not the first")
	}
	if _, err := r.s.Publish(t.Context(), "keys", base); err != flows.ErrNotFound { //nolint:errorlint // the contract's own
		t.Errorf("another document: %v", err)
	}
}
