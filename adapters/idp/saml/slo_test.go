package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-OAEP's own default, and what must be refused
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

var alice = nameID{Value: "alice@example.test", Format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}

var withSLO = description{slo: []endpoint{
	{Binding: redirectBinding, Location: "https://idp.example/slo", ResponseLocation: "https://idp.example/slo/answer"},
	{Binding: postBinding, Location: "https://idp.example/slo/post"},
}}

func newLogoutRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, withSLO, nil)
	r.peer()
	return r
}

func (k peerKey) sp() *spKey { return &spKey{k.key, k.cert} }

// request is a LogoutRequest of the provider for alice.
func (r *rig) request(edit func(*etree.Element)) *etree.Element {
	el := message("LogoutRequest", newID(), r.reg.Now(), base+"/slo", idpEntity)
	name := child(el, "saml:NameID", alice.Value)
	name.CreateAttr("Format", alice.Format)
	child(el, "samlp:SessionIndex", "session-1")
	if edit != nil {
		edit(el)
	}
	return el
}

// deliver sends a message of the provider to our /slo.
func (r *rig) deliver(p parcel) flows.Callback {
	r.t.Helper()
	p.to = base + "/slo"
	if p.field == "" {
		p.field = "SAMLRequest"
	}
	out, err := p.outcome()
	if err != nil {
		r.t.Fatal(err)
	}
	seen := flowstest.Look(out)
	c := flows.Callback{Provider: "corp", URL: base + "/slo", Method: "POST", Values: map[string][]string{}}
	if seen.Kind == "redirect" {
		_, query, _ := strings.Cut(seen.URL, "?")
		return getOf(c.URL, query)
	}
	for _, f := range seen.Fields {
		c.Values[f.Name] = append(c.Values[f.Name], f.Value)
	}
	return c
}

// getOf is a GET of an address with this raw query, as the hall hands it on.
func getOf(address, query string) flows.Callback {
	values, _ := url.ParseQuery(query)
	return flows.Callback{Provider: "corp", URL: address, Method: "GET", Values: values, Query: query}
}

var bindings = map[string]string{"redirect": redirectBinding, "post": postBinding}

// A good request names the sessions that end, by both bindings, and is answered
// by the binding it came by, signed.
func TestLogoutRequestIn(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	for name, binding := range bindings {
		for _, tc := range []struct {
			name string
			edit func(*etree.Element)
			want []string
		}{
			{"one session", nil, claimKeys(alice, []string{"session-1"}, idpEntity, base+"/metadata")},
			{"two sessions", func(el *etree.Element) { child(el, "samlp:SessionIndex", "session-2") }, claimKeys(alice, []string{"session-1", "session-2"}, idpEntity, base+"/metadata")},
			{"all", func(el *etree.Element) { el.RemoveChild(el.SelectElement("SessionIndex")) }, claimKeys(alice, nil, idpEntity, base+"/metadata")},
			{"encrypted name", func(el *etree.Element) { encryptName(t, el, testKeys()[2]) }, claimKeys(alice, []string{"session-1"}, idpEntity, base+"/metadata")},
			{"qualified name", func(el *etree.Element) {
				el.SelectElement("NameID").CreateAttr("NameQualifier", idpEntity)
				el.SelectElement("NameID").CreateAttr("SPNameQualifier", base+"/metadata")
			}, claimKeys(alice, []string{"session-1"}, idpEntity, base+"/metadata")},
			{"slow clock", func(el *etree.Element) { el.CreateAttr("IssueInstant", xmlTime(r.reg.Now().Add(-150*time.Second))) }, claimKeys(alice, []string{"session-1"}, idpEntity, base+"/metadata")},
		} {
			el := r.request(tc.edit)
			id := el.SelectAttrValue("ID", "")
			lm, err := r.s.ReceiveLogout(t.Context(), r.deliver(parcel{el: el, relay: "their state", by: binding, key: testKeys()[0].sp()}))
			if err != nil || lm.Claim == nil {
				t.Errorf("%s by %s: %+v, %v", tc.name, name, lm, err)
				continue
			}
			if !slices.Equal(lm.Claim.LogoutKeys, tc.want) || lm.Claim.Subject != "" || lm.Claim.SID != "" {
				t.Errorf("%s by %s: keys = %q, want %q", tc.name, name, lm.Claim.LogoutKeys, tc.want)
			}
			if m := lm.Claim.Once; m.Space != "saml.logout" || m.ID != idpEntity+"\x00"+id || m.Until.Sub(r.reg.Now()) < r.s.skew() {
				t.Errorf("%s by %s: mark %+v", tc.name, name, m)
			}
			r.answers(lm, id, name)
		}
	}
}

// answers checks the LogoutResponse to a request that came by a binding.
func (r *rig) answers(lm flows.LogoutMessage, id, how string) {
	r.t.Helper()
	for _, complete := range []bool{true, false} {
		out, err := r.s.AnswerLogout(r.t.Context(), lm, complete)
		if err != nil {
			r.t.Fatal(err)
		}
		seen := flowstest.Look(out)
		if seen.Kind != how {
			r.t.Errorf("asked by %s, answered by %s", how, seen.Kind)
		}
		el := sent(r.t, seen, "SAMLResponse")
		relay, to := fieldOf(seen, "RelayState"), seen.URL
		if how == "redirect" {
			u, _ := url.Parse(seen.URL)
			relay, to = u.Query().Get("RelayState"), "https://idp.example"+u.Path
			verifyQuery(r.t, seen.URL, testKeys()[2].cert)
		} else if _, err := verifyEnveloped(el, []*x509.Certificate{testKeys()[2].cert}); err != nil {
			r.t.Errorf("the answer by form: %v", err)
		}
		want := map[string]string{"redirect": "https://idp.example/slo/answer", "post": "https://idp.example/slo/post"}[how]
		if relay != "their state" || to != want || el.SelectAttrValue("Destination", "") != want {
			r.t.Errorf("the answer by %s goes to %s with RelayState %q", how, to, relay)
		}
		if el.Tag != "LogoutResponse" || el.SelectAttrValue("InResponseTo", "") != id || el.SelectElement("Issuer").Text() != base+"/metadata" {
			r.t.Errorf("the answer is %s to %s", el.Tag, el.SelectAttrValue("InResponseTo", ""))
		}
		if failed, err := failedStatus(el); failed == complete || err != nil {
			r.t.Errorf("complete %v is told as failed %v, %v", complete, failed, err)
		}
	}
}

// encryptName replaces the NameID by an EncryptedID for one of our keys.
func encryptName(t *testing.T, el *etree.Element, to peerKey) {
	t.Helper()
	name := el.SelectElement("NameID")
	at := name.Index()
	el.RemoveChild(name)
	name.CreateAttr("xmlns:saml", nsSAML)
	plaintext, err := serialise(name)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, 32)
	_, _ = rand.Read(content)
	block, err := aes.NewCipher(content)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &to.key.PublicKey, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<saml:EncryptedID xmlns:saml="` + nsSAML + `"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/><xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(wrapped) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
		`<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, plaintext, nil)) + `</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedID>`); err != nil {
		t.Fatal(err)
	}
	el.InsertChildAt(at, doc.Root())
}

// Nobody but the provider ends a session: whatever is wrong with a request, it is
// refused, and with a reason that makes it the sender's fault (S11).
func TestS11Logout(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	good, other := testKeys()[0].sp(), testKeys()[1].sp()
	now := r.reg.Now()
	type attack struct {
		name string
		edit func(*etree.Element)
		key  *spKey
		want string
	}
	attacks := []attack{
		{"unsigned", nil, nil, "no signature"},
		{"other key", nil, other, "not that of the provider"},
		{"our own key", nil, testKeys()[2].sp(), "not that of the provider"},
		{"wrong Destination", func(el *etree.Element) {
			el.CreateAttr("Destination", "https://other.example/.identity/saml/corp/slo")
		}, good, "is for"},
		{"no Destination", func(el *etree.Element) { el.RemoveAttr("Destination") }, good, "is for"},
		{"wrong issuer", func(el *etree.Element) { el.SelectElement("Issuer").SetText("https://other.example/metadata") }, good, "the provider is"},
		{"no issuer", func(el *etree.Element) { el.RemoveChild(el.SelectElement("Issuer")) }, good, "0 Issuer"},
		{"version 1.1", func(el *etree.Element) { el.CreateAttr("Version", "1.1") }, good, "version"},
		{"too old", func(el *etree.Element) { el.CreateAttr("IssueInstant", xmlTime(now.Add(-10*time.Minute))) }, good, "ago"},
		{"from the future", func(el *etree.Element) { el.CreateAttr("IssueInstant", xmlTime(now.Add(10*time.Minute))) }, good, "ahead"},
		{"no IssueInstant", func(el *etree.Element) { el.RemoveAttr("IssueInstant") }, good, "without IssueInstant"},
		{"expired", func(el *etree.Element) { el.CreateAttr("NotOnOrAfter", xmlTime(now.Add(-4*time.Minute))) }, good, "expired"},
		{"unreadable NotOnOrAfter", func(el *etree.Element) { el.CreateAttr("NotOnOrAfter", "soon") }, good, "is no time"},
		{"no name", func(el *etree.Element) { el.RemoveChild(el.SelectElement("NameID")) }, good, "0 names"},
		{"two names", func(el *etree.Element) { child(el, "saml:NameID", "bob@example.test") }, good, "2 names"},
		{"empty name", func(el *etree.Element) { el.SelectElement("NameID").SetText("") }, good, "is empty"},
		{"name with an element", func(el *etree.Element) { el.SelectElement("NameID").CreateElement("x") }, good, "more than text"},
		{"base ID", func(el *etree.Element) { el.SelectElement("NameID").Tag = "BaseID" }, good, "0 names"},
		{"name for another's key", func(el *etree.Element) { encryptName(t, el, testKeys()[1]) }, good, "not made for a key of ours"},
		{"empty session", func(el *etree.Element) { el.SelectElement("SessionIndex").SetText("") }, good, "SessionIndex that is empty"},
		{"many sessions", func(el *etree.Element) {
			for range 200 {
				child(el, "samlp:SessionIndex", "x")
			}
		}, good, "at most"},
		{"a response in the place of a request", func(el *etree.Element) { el.Tag = "LogoutResponse" }, good, "a LogoutResponse where"},
		{"an AuthnRequest", func(el *etree.Element) { el.Tag = "AuthnRequest" }, good, "a AuthnRequest where"},
		{"a request of another protocol", func(el *etree.Element) { el.CreateAttr("xmlns:samlp", "urn:example:other") }, good, "where a LogoutRequest"},
	}
	for how, binding := range bindings {
		for _, a := range attacks {
			t.Run(a.name+" by "+how, func(t *testing.T) {
				lm, err := r.s.ReceiveLogout(t.Context(), r.deliver(parcel{el: r.request(a.edit), relay: "x", by: binding, key: a.key}))
				refusedLogout(t, lm, err, a.want)
			})
		}
	}
	if lm, err := r.s.ReceiveLogout(t.Context(), flows.Callback{URL: base + "/slo", Method: "PUT", Query: "SAMLRequest=x"}); err == nil {
		t.Errorf("by PUT: %+v", lm)
	}
}

func refusedLogout(t *testing.T, lm flows.LogoutMessage, err error, want string) {
	t.Helper()
	if lm.Claim != nil || lm.Private != nil || lm.State != "" {
		t.Errorf("something comes with it: %+v", lm)
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %v, want %q", err, want)
	}
	if reason := flows.ReasonOf(err); reason != flows.ReasonInvalidAnswer && reason != flows.ReasonTooLarge {
		t.Errorf("reason = %s: %v", reason, err)
	}
}

// The signature of the redirect binding is over the octets as they came: order,
// encoding and all; and there is one reading of each parameter (S11).
func TestS11RedirectSignature(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	good := testKeys()[0].sp()
	el := func() *etree.Element { return r.request(nil) }
	query := func(key *spKey) string {
		return r.deliver(parcel{el: el(), relay: "a state", by: redirectBinding, key: key}).Query
	}
	take := func(query string) (flows.LogoutMessage, error) {
		return r.s.ReceiveLogout(t.Context(), getOf(base+"/slo", query))
	}
	part := func(q, name string) string {
		for p := range strings.SplitSeq(q, "&") {
			if strings.HasPrefix(p, name+"=") {
				return p
			}
		}
		t.Fatalf("no %s in %s", name, q)
		return ""
	}
	resign := func(signed string, q string) string {
		return signed + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(rsaSign(t, good.Key, crypto.SHA256, signed)))
	}
	for name, make := range map[string]func(q string) string{
		"as sent":          func(q string) string { return q },
		"parameter behind": func(q string) string { return q + "&utm_source=x" },
		// Another order in the address changes nothing in what was signed.
		"other order": func(q string) string {
			return part(q, "Signature") + "&" + part(q, "RelayState") + "&" + part(q, "SigAlg") + "&" + part(q, "SAMLRequest")
		},
		// Another encoder writes the same with lower-case hex, or + for a blank.
		"lower case": func(q string) string {
			return resign(strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d", "%3A", "%3a").Replace(part(q, "SAMLRequest")+"&"+part(q, "RelayState")+"&"+part(q, "SigAlg")), q)
		},
		"blank as %20": func(q string) string {
			return resign(part(q, "SAMLRequest")+"&RelayState=a%20state&"+part(q, "SigAlg"), q)
		},
		"no RelayState": func(q string) string { return resign(part(q, "SAMLRequest")+"&"+part(q, "SigAlg"), q) },
		"encoding named": func(q string) string {
			return q + "&SAMLEncoding=" + url.QueryEscape(deflate)
		},
	} {
		if lm, err := take(make(query(good))); err != nil || lm.Claim == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := strings.ReplaceAll(part(query(good), "SAMLRequest"), "SAMLRequest=", "")
	for _, tc := range []struct {
		name, want string
		make       func(q string) string
	}{
		{"altered RelayState", "not that of the provider", func(q string) string { return strings.Replace(q, "a+state", "b+state", 1) }},
		{"RelayState taken away", "not that of the provider", func(q string) string { return strings.Replace(q, "&RelayState=a+state", "", 1) }},
		{"RelayState encoded anew", "not that of the provider", func(q string) string { return strings.Replace(q, "a+state", "a%20state", 1) }},
		{"hex case changed", "not that of the provider", func(q string) string { return strings.Replace(q, "%3A", "%3a", 1) }},
		{"message swapped", "not that of the provider", func(q string) string { return strings.Replace(q, part(q, "SAMLRequest"), "SAMLRequest="+other, 1) }},
		{"signature of another", "not that of the provider", func(q string) string {
			return strings.Replace(q, part(q, "Signature"), part(query(good), "Signature"), 1)
		}},
		{"signature over decoded values", "not that of the provider", func(q string) string {
			v, _ := url.ParseQuery(q)
			sig := rsaSign(t, good.Key, crypto.SHA256, "SAMLRequest="+v.Get("SAMLRequest")+"&RelayState="+v.Get("RelayState")+"&SigAlg="+v.Get("SigAlg"))
			return strings.Replace(q, part(q, "Signature"), "Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(sig)), 1)
		}},
		{"signature over another order", "not that of the provider", func(q string) string {
			return resign(part(q, "RelayState")+"&"+part(q, "SAMLRequest")+"&"+part(q, "SigAlg"), q)
		}},
		{"signature over the message only", "not that of the provider", func(q string) string {
			sig := rsaSign(t, good.Key, crypto.SHA256, part(q, "SAMLRequest"))
			return strings.Replace(q, part(q, "Signature"), "Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(sig)), 1)
		}},
		{"SHA-1", "is not allowed", func(q string) string {
			signed := part(q, "SAMLRequest") + "&" + part(q, "RelayState") + "&SigAlg=" + url.QueryEscape(dsig.RSASHA1SignatureMethod)
			return signed + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(rsaSign(t, good.Key, crypto.SHA1, signed)))
		}},
		{"HMAC", "is not allowed", func(q string) string {
			return strings.Replace(q, part(q, "SigAlg"), "SigAlg="+url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"), 1)
		}},
		{"no algorithm", "no signature", func(q string) string { return strings.Replace(q, "&"+part(q, "SigAlg"), "", 1) }},
		{"no signature", "no signature", func(q string) string { return strings.Replace(q, "&"+part(q, "Signature"), "", 1) }},
		{"empty signature", "malformed Signature", func(q string) string { return strings.Replace(q, part(q, "Signature"), "Signature=", 1) }},
		{"request twice", "stands twice", func(q string) string { return "SAMLRequest=" + other + "&" + q }},
		{"request twice behind", "stands twice", func(q string) string { return q + "&SAMLRequest=" + other }},
		{"RelayState twice", "stands twice", func(q string) string { return q + "&RelayState=b" }},
		{"algorithm twice", "stands twice", func(q string) string { return q + "&" + part(q, "SigAlg") }},
		{"signature twice", "stands twice", func(q string) string { return q + "&" + part(q, "Signature") }},
		{"another spelling of the name", "another spelling", func(q string) string { return q + "&SAML%52equest=" + other }},
		{"another spelling alone", "another spelling", func(q string) string { return strings.Replace(q, "SAMLRequest=", "SAML%52equest=", 1) }},
		{"request and response", "a request and a response", func(q string) string { return q + "&SAMLResponse=" + other }},
		{"artifact", "an artifact", func(q string) string { return q + "&SAMLart=AAQ" }},
		{"other encoding", "SAMLEncoding", func(q string) string { return q + "&SAMLEncoding=urn:example:gzip" }},
		{"malformed escape", "malformed", func(q string) string { return strings.Replace(q, "a+state", "a%zz", 1) }},
		{"request called a response", "not that of the provider", func(q string) string { return strings.Replace(q, "SAMLRequest=", "SAMLResponse=", 1) }},
		{"nothing", "no SAMLRequest", func(string) string { return "" }},
		{"signature inside only", "no signature", func(q string) string {
			el := r.request(nil)
			if err := signEnveloped(el, good); err != nil {
				t.Fatal(err)
			}
			return r.deliver(parcel{el: el, relay: "a state", by: redirectBinding}).Query
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lm, err := take(tc.make(query(good)))
			refusedLogout(t, lm, err, tc.want)
		})
	}
	// The hall hands on values without the query they came in: nothing can be verified.
	c := getOf(base+"/slo", query(good))
	c.Query = ""
	lm, err := r.s.ReceiveLogout(t.Context(), c)
	refusedLogout(t, lm, err, "no SAMLRequest")
}

func rsaSign(t *testing.T, key *rsa.PrivateKey, h crypto.Hash, signed string) []byte {
	t.Helper()
	d := h.New()
	d.Write([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, h, d.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// A message signed inside is refused when anything of it changed, and when the
// signature is over something else (S11).
func TestS11PostSignature(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	sign := func() *etree.Element {
		el := r.request(nil)
		if err := signEnveloped(el, testKeys()[0].sp()); err != nil {
			t.Fatal(err)
		}
		return el
	}
	post := func(el *etree.Element) flows.Callback { return r.deliver(parcel{el: el, by: postBinding}) }
	if _, err := r.s.ReceiveLogout(t.Context(), post(sign())); err != nil {
		t.Fatalf("the honest one: %v", err)
	}
	for name, change := range map[string]func(*etree.Element) flows.Callback{
		"name changed": func(el *etree.Element) flows.Callback {
			el.SelectElement("NameID").SetText("bob@example.test")
			return post(el)
		},
		"destination changed": func(el *etree.Element) flows.Callback {
			el.CreateAttr("NotOnOrAfter", "2030-01-01T00:00:00Z")
			return post(el)
		},
		"wrapped": func(el *etree.Element) flows.Callback {
			evil := r.request(func(el *etree.Element) { el.SelectElement("NameID").SetText("bob@example.test") })
			sig := el.SelectElement("Signature")
			el.RemoveChild(sig)
			evil.InsertChildAt(1, sig)
			evil.CreateElement("samlp:Extensions").AddChild(el)
			return post(evil)
		},
		"detached signature beside it": func(*etree.Element) flows.Callback {
			c := post(r.request(nil))
			q, _ := url.ParseQuery(r.deliver(parcel{el: r.request(nil), by: redirectBinding, key: testKeys()[0].sp()}).Query)
			c.Values["Signature"], c.Values["SigAlg"] = q["Signature"], q["SigAlg"]
			return c
		},
		"twice": func(el *etree.Element) flows.Callback {
			c := post(el)
			c.Values["SAMLRequest"] = append(c.Values["SAMLRequest"], c.Values["SAMLRequest"]...)
			return c
		},
		"doctype": func(el *etree.Element) flows.Callback {
			raw, _ := serialise(el)
			return flows.Callback{URL: base + "/slo", Method: "POST", Values: map[string][]string{
				"SAMLRequest": {base64.StdEncoding.EncodeToString(append([]byte("<!DOCTYPE x>"), raw...))},
			}}
		},
	} {
		lm, err := r.s.ReceiveLogout(t.Context(), change(sign()))
		if err == nil || lm.Claim != nil || flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
			t.Errorf("%s: %+v, %v", name, lm, err)
		}
	}
}

// The key of a request that came once is in its mark, so the second time it
// is known (S11); which marks were used is the engine's to know.
func TestS11Replay(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	c := r.deliver(parcel{el: r.request(nil), by: redirectBinding, key: testKeys()[0].sp()})
	one, err := r.s.ReceiveLogout(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	node := r.guest(func(s *SAML) { s.SignRequests = true })
	two, err := node.ReceiveLogout(t.Context(), c)
	if err != nil || one.Claim.Once.ID != two.Claim.Once.ID || one.Claim.Once.Space != two.Claim.Once.Space {
		t.Errorf("two marks for one message: %+v and %+v, %v", one.Claim, two.Claim, err)
	}
	// When the mark is gone the message is too old.
	r.reg.Forward(one.Claim.Once.Until.Sub(r.reg.Now()))
	lm, err := r.s.ReceiveLogout(t.Context(), c)
	refusedLogout(t, lm, err, "ago")
}

// Ten kilobytes that stand for a hundred megabytes cost neither memory nor time,
// signed or not (S5).
func TestS5DeflateBomb(t *testing.T) {
	var small bytes.Buffer
	w, err := flate.NewWriter(&small, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := w.Write(bytes.Repeat([]byte("<a>"), 1<<20/3)); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	r := newLogoutRig(t)
	query := "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(small.Bytes()))
	signed, err := signQuery(query, testKeys()[0].sp())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{query, signed, query + "&SigAlg=x&Signature=AAAA"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lm, err := r.s.ReceiveLogout(t.Context(), getOf(base+"/slo", q))
		runtime.ReadMemStats(&after)
		if err == nil || lm.Claim != nil {
			t.Errorf("%d bytes of query: %+v, %v", len(q), lm, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%d bytes of query: %d bytes were allocated (%v)", len(q), n, err)
		}
	}
}

// An ECDSA key of the provider signs as the redirect binding has it: r and s.
func TestLogoutECDSA(t *testing.T) {
	t.Parallel()
	key, cert := ecdsaKey(t)
	d := withSLO
	d.certs = []*x509.Certificate{testKeys()[0].cert, cert}
	r := newRig(t, d, nil)
	query := r.deliver(parcel{el: r.request(nil), by: redirectBinding}).Query + "&SigAlg=" + url.QueryEscape(dsig.ECDSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	a, b, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := append(a.FillBytes(make([]byte, 32)), b.FillBytes(make([]byte, 32))...)
	lm, err := r.s.ReceiveLogout(t.Context(), getOf(base+"/slo", query+"&Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(sig))))
	if err != nil || lm.Claim == nil {
		t.Errorf("%+v, %v", lm, err)
	}
}

// A request signed by a key that came into the metadata since is taken.
func TestLogoutRolledOver(t *testing.T) {
	t.Parallel()
	r := newLogoutRig(t)
	d := withSLO
	d.certs = []*x509.Certificate{testKeys()[1].cert}
	r.place.set(d.String())
	r.reg.Forward(2 * time.Minute)
	lm, err := r.s.ReceiveLogout(t.Context(), r.deliver(parcel{el: r.request(nil), by: redirectBinding, key: testKeys()[1].sp()}))
	if err != nil || lm.Claim == nil {
		t.Errorf("%+v, %v", lm, err)
	}
}

func tokens(t *testing.T, g grant) flows.Grant {
	t.Helper()
	b, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return flows.Grant{Provider: "corp", Issuer: idpEntity, Tokens: b}
}

// Our own request names the person and the sessions as the assertion did, and its
// answer is compared with it.
func TestLogoutRequestOut(t *testing.T) {
	t.Parallel()
	who := grant{NameID: nameID{Value: "a&b", Format: unspecified, NameQualifier: idpEntity, SPNameQualifier: "urn:sp"}, Sessions: []string{"one", "two"}, Entity: "urn:example:gateway"}
	for how, binding := range bindings {
		d := description{slo: []endpoint{{Binding: binding, Location: "https://idp.example/slo"}}}
		r := newRig(t, d, func(s *SAML) { s.EntityID = "urn:example:gateway" })
		out, err := r.s.LogoutRequest(t.Context(), tokens(t, who), "https://app.example/.identity/logout", "our-state")
		if err != nil {
			t.Fatal(err)
		}
		seen := flowstest.Look(out)
		if seen.Kind != how {
			t.Fatalf("sent by %s, the provider takes %s", seen.Kind, how)
		}
		el := sent(t, seen, "SAMLRequest")
		if how == "redirect" {
			verifyQuery(t, seen.URL, testKeys()[2].cert)
		} else if _, err := verifyEnveloped(el, []*x509.Certificate{testKeys()[2].cert}); err != nil {
			t.Errorf("by form: %v", err)
		}
		name := el.SelectElement("NameID")
		got := nameID{name.Text(), name.SelectAttrValue("Format", ""), name.SelectAttrValue("NameQualifier", ""), name.SelectAttrValue("SPNameQualifier", "")}
		if got != who.NameID || len(el.SelectElements("SessionIndex")) != 2 || el.SelectElement("Issuer").Text() != "urn:example:gateway" {
			t.Errorf("by %s: %+v of %s", how, got, el.SelectElement("Issuer").Text())
		}
		if el.SelectAttrValue("Destination", "") != "https://idp.example/slo" || el.SelectAttrValue("NotOnOrAfter", "") != "2026-03-01T12:05:00Z" {
			t.Errorf("by %s: %+v", how, el.Attr)
		}
		r.ourAnswers(el.SelectAttrValue("ID", ""))
	}
}

// ourAnswers sends LogoutResponses to the request with this ID and the state "our-state".
func (r *rig) ourAnswers(id string) {
	t := r.t
	answer := func(edit func(*etree.Element)) *etree.Element {
		el := message("LogoutResponse", newID(), r.reg.Now(), base+"/slo", idpEntity)
		el.CreateAttr("InResponseTo", id)
		el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", statusSuccess)
		if edit != nil {
			edit(el)
		}
		return el
	}
	code := func(el *etree.Element) *etree.Element { return el.FindElement("./Status/StatusCode") }
	good := testKeys()[0].sp()
	for how, binding := range bindings {
		send := func(edit func(*etree.Element), relay string, key *spKey) (flows.LogoutMessage, error) {
			return r.s.ReceiveLogout(t.Context(), r.deliver(parcel{field: "SAMLResponse", el: answer(edit), relay: relay, by: binding, key: key}))
		}
		for name, tc := range map[string]struct {
			edit   func(*etree.Element)
			failed bool
		}{
			"success":   {nil, false},
			"partial":   {func(el *etree.Element) { code(el).CreateElement("samlp:StatusCode").CreateAttr("Value", statusPartial) }, true},
			"responder": {func(el *etree.Element) { code(el).CreateAttr("Value", statusResponder) }, true},
		} {
			lm, err := send(tc.edit, "our-state", good)
			if err != nil || lm.Claim != nil || lm.State != "our-state" || lm.Failed != tc.failed {
				t.Errorf("%s by %s: %+v, %v", name, how, lm, err)
			}
		}
		for _, tc := range []struct {
			name, want, relay string
			edit              func(*etree.Element)
			key               *spKey
		}{
			{"unsigned", "no signature", "our-state", nil, nil},
			{"other key", "not that of the provider", "our-state", nil, testKeys()[1].sp()},
			{"to another request", "to no request", "our-state", func(el *etree.Element) { el.CreateAttr("InResponseTo", "_x") }, good},
			{"to no request", "to no request", "our-state", func(el *etree.Element) { el.RemoveAttr("InResponseTo") }, good},
			{"other state", "to no request", "another", nil, good},
			{"no state", "to no request", "", nil, good},
			{"no status", "0 Status", "our-state", func(el *etree.Element) { el.RemoveChild(el.SelectElement("Status")) }, good},
			{"wrong issuer", "the provider is", "our-state", func(el *etree.Element) { el.SelectElement("Issuer").SetText("urn:x") }, good},
			{"wrong Destination", "is for", "our-state", func(el *etree.Element) { el.CreateAttr("Destination", "urn:x") }, good},
			{"a request", "where a LogoutResponse", "our-state", func(el *etree.Element) { el.Tag = "LogoutRequest" }, good},
		} {
			lm, err := send(tc.edit, tc.relay, tc.key)
			if err == nil || !strings.Contains(err.Error(), tc.want) || lm.State != "" {
				t.Errorf("%s by %s: %+v, %v; want %q", tc.name, how, lm, err, tc.want)
			}
		}
	}
}

// Nobody is asked who has no single logout, who was not asked to, or who could
// not say whom is meant.
func TestLogoutRequestNone(t *testing.T) {
	t.Parallel()
	who := grant{NameID: alice, Entity: "urn:sp"}
	off := false
	for name, tc := range map[string]struct {
		d     description
		edit  func(*SAML)
		grant flows.Grant
	}{
		"no endpoint":   {d: description{}, grant: tokens(t, who)},
		"switched off":  {d: withSLO, edit: func(s *SAML) { s.SingleLogout = &off }, grant: tokens(t, who)},
		"no tokens":     {d: withSLO, grant: flows.Grant{Issuer: idpEntity}},
		"no name":       {d: withSLO, grant: tokens(t, grant{Entity: "urn:sp"})},
		"other issuer":  {d: withSLO, grant: flows.Grant{Issuer: "urn:old", Tokens: tokens(t, who).Tokens}},
		"other's token": {d: withSLO, grant: flows.Grant{Issuer: idpEntity, Tokens: []byte(`{"id_token":"x"}`)}},
	} {
		r := newRig(t, tc.d, tc.edit)
		if out, err := r.s.LogoutRequest(t.Context(), tc.grant, "", "s"); out != nil || err != nil {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	r := newRig(t, description{}, nil)
	lm, err := r.s.ReceiveLogout(t.Context(), r.deliver(parcel{el: r.request(nil), by: redirectBinding, key: testKeys()[0].sp()}))
	if err != nil || lm.Claim == nil {
		t.Fatalf("%+v, %v", lm, err)
	}
	if _, err := r.s.AnswerLogout(t.Context(), lm, true); flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
		t.Errorf("an answer to nowhere: %v", err)
	}
	if _, err := r.s.AnswerLogout(t.Context(), flows.LogoutMessage{}, true); flows.ReasonOf(err) != flows.ReasonInternal {
		t.Errorf("an answer to nobody: %v", err)
	}
}

// One login has the keys that any request for it names.
func TestLogoutKeys(t *testing.T) {
	t.Parallel()
	login := proofKeys(alice, []string{"one", "two"}, "urn:idp", "urn:sp")
	if len(login) != 3 {
		t.Fatalf("%q", login)
	}
	spelt := nameID{Value: alice.Value, Format: alice.Format, NameQualifier: "urn:idp", SPNameQualifier: "urn:sp"}
	for _, n := range []nameID{alice, spelt} {
		for _, sessions := range [][]string{nil, {"two"}, {"three", "one"}} {
			if !slices.ContainsFunc(claimKeys(n, sessions, "urn:idp", "urn:sp"), func(k string) bool { return slices.Contains(login, k) }) {
				t.Errorf("%+v with %q does not end the login", n, sessions)
			}
		}
	}
	bob, other := alice, alice
	bob.Value = "bob@example.test"
	other.Format = unspecified
	for name, keys := range map[string][]string{
		"bob":              claimKeys(bob, nil, "urn:idp", "urn:sp"),
		"other format":     claimKeys(other, nil, "urn:idp", "urn:sp"),
		"other session":    claimKeys(alice, []string{"three"}, "urn:idp", "urn:sp"),
		"other provider":   claimKeys(alice, nil, "urn:other", "urn:sp"),
		"session as name":  claimKeys(nameID{Value: alice.Value + "one", Format: alice.Format}, nil, "urn:idp", "urn:sp"),
		"qualifier spread": claimKeys(nameID{Value: alice.Value, Format: alice.Format, NameQualifier: "urn:idpurn:sp"}, nil, "urn:idp", ""),
	} {
		if slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(login, k) }) {
			t.Errorf("%s ends alice's login", name)
		}
	}
	if proofKeys(nameID{Value: "x"}, nil, "i", "s")[0] != proofKeys(nameID{Value: "x", Format: unspecified}, nil, "i", "s")[0] {
		t.Error("no format is not unspecified")
	}
}

// Whatever comes to /slo is refused or is the provider's own word; nothing panics.
func FuzzLogout(f *testing.F) {
	good, other := testKeys()[0].sp(), testKeys()[1].sp()
	for _, key := range []*spKey{good, other, nil} {
		for _, binding := range bindings {
			el := message("LogoutRequest", newID(), flowstest.Start, base+"/slo", idpEntity)
			child(el, "saml:NameID", alice.Value)
			out, err := parcel{field: "SAMLRequest", el: el, relay: "x", to: base + "/slo", by: binding, key: key}.outcome()
			if err != nil {
				f.Fatal(err)
			}
			seen := flowstest.Look(out)
			_, query, _ := strings.Cut(seen.URL, "?")
			f.Add(query, fieldOf(seen, "SAMLRequest"), fieldOf(seen, "SAMLResponse"), fieldOf(seen, "RelayState"))
		}
	}
	f.Add("SAMLResponse=&SigAlg=&Signature=AAAA", "", "", "")
	f.Add("", base64.StdEncoding.EncodeToString([]byte("<:x/>")), "AAAA", "")
	m, err := parseMetadata([]byte(withSLO.String()), flowstest.Start)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, request, response, relay string) {
		s := &SAML{now: func() time.Time { return flowstest.Start }, src: &source{now: func() time.Time { return flowstest.Start }, good: m, restored: true, tried: flowstest.Start, place: "https://idp.example/m"}}
		s.warming.Store(true)
		for _, c := range []flows.Callback{
			getOf(base+"/slo", query),
			{URL: base + "/slo", Method: "POST", Values: map[string][]string{"SAMLRequest": {request}, "SAMLResponse": {response}, "RelayState": {relay}}},
		} {
			lm, err := s.ReceiveLogout(t.Context(), c)
			if err != nil {
				if reason := flows.ReasonOf(err); reason == flows.ReasonInternal || strings.Contains(err.Error(), "could not be read") || lm.Claim != nil {
					t.Fatalf("%s: %v", reason, err)
				}
				continue
			}
			if lm.Claim != nil && (len(lm.Claim.LogoutKeys) == 0 || lm.Claim.Once.ID == "") {
				t.Fatalf("%+v", lm.Claim)
			}
		}
	})
}
