package saml

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
)

func attributes(list ...samltest.Attribute) func(*samltest.Response) {
	return func(r *samltest.Response) { r.Assertion.Attributes = list }
}

func attr1(name string, values ...string) samltest.Attribute {
	return samltest.Attribute{Name: name, Values: values}
}

// The subject is the provider's own spelling, and a transient NameID is somebody
// for one login (I04).
func TestI04Subject(t *testing.T) {
	mapped := func(s *SAML) { s.Attributes = map[string]string{"subject": "uid", "name": "uid"} }
	transient := func(r *samltest.Response) { r.Assertion.NameID, r.Assertion.Format = "_once", samltest.Transient }
	none := func(r *samltest.Response) {
		r.Assertion.NameID, r.Assertion.Format = "", ""
	}
	for _, tc := range []struct {
		name          string
		edit          func(*SAML)
		res           func(*samltest.Response)
		subject, user string
		why           string
	}{
		{name: "persistent", subject: "alice", user: "alice"},
		{name: "e-mail address", res: func(r *samltest.Response) {
			r.Assertion.NameID, r.Assertion.Format = "Alice@Example.test", samltest.Email
		}, subject: "Alice@Example.test", user: "Alice@Example.test"},
		{name: "no format", res: func(r *samltest.Response) { r.Assertion.Format = "" }, subject: "alice", user: "alice"},
		{name: "qualified by the provider", res: func(r *samltest.Response) { r.Assertion.NameQualifier, r.Assertion.SPNameQualifier = r.Issuer, entity }, subject: "alice", user: "alice"},
		{name: "transient is no name", res: transient, subject: "_once", user: ""},
		{name: "transient, attribute is the subject", edit: mapped, res: transient, subject: "alice", user: "alice"},
		{name: "no NameID, attribute is the subject", edit: mapped, res: none, subject: "alice", user: "alice"},
		{name: "attribute is the subject and is not sent", edit: mapped, res: attributes(), why: `did not send "uid", which is the subject`},
		{name: "attribute is the subject and has two values", edit: mapped, res: attributes(attr1("uid", "alice", "admin")), why: "has 2 values"},
		{name: "attribute is the subject and ends with a blank", edit: mapped, res: attributes(attr1("uid", "admin ")), why: "begins or ends with a blank"},
		{name: "attribute is the subject and stands twice", edit: mapped, res: attributes(attr1("uid", "alice"), attr1("uid", "admin")), why: "has 2 values"},
		{name: "two may be meant", edit: mapped, res: attributes(samltest.Attribute{Name: "a", Friendly: "uid", Values: []string{"alice"}}, samltest.Attribute{Name: "b", Friendly: "uid", Values: []string{"admin"}}), why: "two attributes may be meant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDuo(t, tc.edit)
			p, err := d.answer(tc.res)
			if tc.why != "" {
				refused(t, err, flows.ReasonInvalidAnswer, tc.why)
				return
			}
			if err != nil || p.User.Subject != tc.subject || p.User.Name != tc.user {
				t.Errorf("subject %q, name %q, %v; want %q, %q", p.User.Subject, p.User.Name, err, tc.subject, tc.user)
			}
			if want := tc.subject == "_once"; p.User.Transient != want {
				t.Errorf("transient: %v, want %v", p.User.Transient, want)
			}
		})
	}
}

// No name is no name: nothing takes its place.
func TestNameFromAttribute(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.Attributes = map[string]string{"name": "upn"} })
	if p := d.mustAnswer(nil); p.User.Name != "" || p.User.Subject != "alice" {
		t.Errorf("name %q, subject %q", p.User.Name, p.User.Subject)
	}
	p := d.mustAnswer(attributes(attr1("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", "alice@corp.test")))
	if p.User.Name != "alice@corp.test" {
		t.Errorf("name %q", p.User.Name)
	}
	_, err := d.answer(attributes(attr1("upn", " admin@corp.test ")))
	refused(t, err, flows.ReasonInvalidAnswer, "begins or ends with a blank")
}

// An address is one that somebody vouches for (I06).
func TestI06Email(t *testing.T) {
	d := newDuo(t, nil)
	if p := d.mustAnswer(nil); p.User.Email != "" || p.User.Attributes["mail"] != "alice@example.test" {
		t.Errorf("without trust: email %q, attribute %v", p.User.Email, p.User.Attributes["mail"])
	}
	trusting := func(s *SAML) { s.Trust = []string{"email"} }
	d = newDuo(t, trusting)
	if p := d.mustAnswer(nil); p.User.Email != "alice@example.test" {
		t.Errorf("with trust: %q", p.User.Email)
	}
	for _, bad := range []string{"alice", "a@b@example.test", " a@example.test", "@example.test", "a@"} {
		if p := d.mustAnswer(attributes(attr1("mail", bad))); p.User.Email != "" {
			t.Errorf("%q became the address %q", bad, p.User.Email)
		}
	}
}

func TestAttributes(t *testing.T) {
	d := newDuo(t, func(s *SAML) {
		s.Attributes = map[string]string{"department": "Department Name", "groups": "urn:oid:1.3.6.1.4.1.5923.1.5.1.1", "uid": "absent"}
	})
	p := d.mustAnswer(attributes(
		attr1("Department Name", "R&D"),
		attr1("urn:oid:1.3.6.1.4.1.5923.1.5.1.1", "staff"),
		attr1("urn:oid:1.3.6.1.4.1.5923.1.1.1.9", "member@example.test", "staff@example.test"),
		attr1("urn:oid:0.9.2342.19200300.100.1.1", "alice"),
		attr1("http://schemas.microsoft.com/identity/claims/displayname", "Alice Example"),
		attr1("email", "x@example.test"),
		attr1("empty"),
		samltest.Attribute{Name: "urn:x", Friendly: "shoe", Values: []string{"42"}},
	))
	u := p.User
	if u.DisplayName != "Alice Example" || !slices.Equal(u.Groups, []string{"staff"}) {
		t.Errorf("display name %q, groups %q", u.DisplayName, u.Groups)
	}
	want := map[string]any{
		"department": "R&D", "Department Name": "R&D", "isMemberOf": "staff", "urn:oid:1.3.6.1.4.1.5923.1.5.1.1": "staff",
		"eduPersonScopedAffiliation": []any{"member@example.test", "staff@example.test"}, "urn:oid:1.3.6.1.4.1.5923.1.1.1.9": []any{"member@example.test", "staff@example.test"},
		"urn:oid:0.9.2342.19200300.100.1.1": "alice", "http://schemas.microsoft.com/identity/claims/displayname": "Alice Example", "displayName": "Alice Example",
		"empty": nil, "urn:x": "42", "shoe": "42",
	}
	if !reflect.DeepEqual(u.Attributes, want) {
		t.Errorf("attributes\n%v\nwant\n%v", u.Attributes, want)
	}
	if u.Claims["email"] != "x@example.test" || u.Claims["urn:x"] != "42" {
		t.Errorf("claims %v", u.Claims)
	}
}

// Who sends an attribute's short name itself means it, whatever else has it.
func TestAttributeByNameComesFirst(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.Attributes = map[string]string{"name": "uid"} })
	p := d.mustAnswer(attributes(
		samltest.Attribute{Name: "x", Friendly: "uid", Values: []string{"friendly"}}, attr1("urn:oid:0.9.2342.19200300.100.1.1", "oid"), attr1("uid", "named"),
	))
	if p.User.Name != "named" {
		t.Errorf("name %q", p.User.Name)
	}
	p = d.mustAnswer(attributes(samltest.Attribute{Name: "x", Friendly: "uid", Values: []string{"friendly"}}, attr1("urn:oid:0.9.2342.19200300.100.1.1", "oid")))
	if p.User.Name != "oid" {
		t.Errorf("name %q", p.User.Name)
	}
}

func TestTargetedID(t *testing.T) {
	d := newDuo(t, nil)
	p := d.mustAnswer(func(r *samltest.Response) {
		r.Assertion.Attributes = []samltest.Attribute{attr1("urn:oid:1.3.6.1.4.1.5923.1.1.1.10", "VALUE")}
		r.Assertion.Before = samltest.Swap("VALUE", `<saml:NameID Format="`+samltest.Persistent+`">abc</saml:NameID>`)
	})
	if p.User.Attributes["eduPersonTargetedID"] != "abc" {
		t.Errorf("attributes %v", p.User.Attributes)
	}
}

// What was asked about the login is what the answer must say.
func TestAssurance(t *testing.T) {
	const mfa = "https://refeds.org/profile/mfa"
	asked := func(edit func(*pending)) func(d *duo, res func(*samltest.Response)) (flows.Proof, error) {
		return func(d *duo, res func(*samltest.Response)) (flows.Proof, error) {
			r, private := d.begin()
			var p pending
			if err := json.Unmarshal(private, &p); err != nil {
				return flows.Proof{}, err
			}
			edit(&p)
			private, err := json.Marshal(p)
			if err != nil {
				return flows.Proof{}, err
			}
			a := d.idp.Respond(r)
			if res != nil {
				res(a)
			}
			return d.finish(posted(a.Form()), private)
		}
	}
	class := func(c string) func(*samltest.Response) { return func(r *samltest.Response) { r.Assertion.Class = c } }
	old := func(by time.Duration) func(*samltest.Response) {
		return func(r *samltest.Response) { r.Assertion.AuthnInstant = r.Assertion.AuthnInstant.Add(-by) }
	}
	d := newDuo(t, nil)
	configured := newDuo(t, func(s *SAML) { s.AuthnContext, s.IDPInitiated = []string{mfa}, true })
	for _, tc := range []struct {
		name string
		d    *duo
		ask  func(*pending)
		res  func(*samltest.Response)
		ok   bool
	}{
		{"class asked and given", d, func(p *pending) { p.ACR = []string{"x", mfa} }, class(mfa), true},
		{"class asked, another given", d, func(p *pending) { p.ACR = []string{mfa} }, nil, false},
		{"class asked, none given", d, func(p *pending) { p.ACR = []string{mfa} }, class(""), false},
		{"class configured and given", configured, func(*pending) {}, class(mfa), true},
		{"class configured, another given", configured, func(*pending) {}, nil, false},
		{"class configured, initiated with another", configured, nil, func(r *samltest.Response) { r.InResponseTo, r.Assertion.InResponseTo = "", "" }, false},
		{"fresh and asked again", d, func(p *pending) { p.Fresh = true }, nil, true},
		{"fresh and not asked again", d, func(p *pending) { p.Fresh = true }, old(time.Hour), false},
		{"old, nothing asked", d, func(*pending) {}, old(time.Hour), true},
		{"within max age", d, func(p *pending) { p.MaxAge = 600 }, old(5 * time.Minute), true},
		{"past max age", d, func(p *pending) { p.MaxAge = 600 }, old(time.Hour), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			if tc.ask == nil {
				_, err = tc.d.answer(tc.res)
			} else {
				_, err = asked(tc.ask)(tc.d, tc.res)
			}
			if tc.ok != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				refused(t, err, flows.ReasonAssuranceNotMet, "")
			}
		})
	}
}

func TestEvidence(t *testing.T) {
	d := newDuo(t, nil)
	end := d.reg.Now().Add(8 * time.Hour)
	p := d.mustAnswer(func(r *samltest.Response) {
		r.Assertion.Class, r.Assertion.SessionUntil = classPrefix+"SmartcardPKI", end
		r.Assertion.AuthnInstant = d.ago(time.Hour)
		r.Assertion.SessionIndex = "s1"
		r.Assertion.Attributes = append(r.Assertion.Attributes, attr1("http://schemas.microsoft.com/claims/authnmethodsreferences", "http://schemas.microsoft.com/claims/multipleauthn"))
	})
	ev := p.Evidence[0]
	if ev.Method != "saml" || ev.ACR != classPrefix+"SmartcardPKI" || !slices.Equal(ev.AMR, []string{"sc", "hwk", "mfa"}) || !ev.At.Equal(d.ago(time.Hour)) || ev.Kind != flows.Direct {
		t.Errorf("evidence %+v", ev)
	}
	if p.Issuer != d.idp.EntityID || !p.NotAfter.Equal(end) || p.SID != "s1" || len(p.LogoutKeys) != 2 {
		t.Errorf("proof %+v", p)
	}
	g := grantOf(t, p)
	if g.NameID.Value != "alice" || g.NameID.Format != samltest.Persistent || !slices.Equal(g.Sessions, []string{"s1"}) || g.Entity != entity {
		t.Errorf("kept %+v", g)
	}
}

// Keys come from metadata: several, expired ones, elliptic ones (SAML2Int SDP-SP37).
func TestProviderKeys(t *testing.T) {
	expired := samltest.Certify(samltest.RSA(3).Key, "expired", time.Unix(0, 0), time.Unix(1000, 0))
	i := samltest.New(t, 0)
	i.More = []samltest.Pair{expired, samltest.EC(1)}
	d := duoWith(t, i, nil)
	for name, s := range map[string]samltest.Signing{
		"first": {Pair: samltest.RSA(0)}, "second, expired": {Pair: expired}, "third, elliptic": {Pair: samltest.EC(1)},
		"second without KeyInfo": {Pair: expired, KeyInfo: "-"}, "third without KeyInfo": {Pair: samltest.EC(1), KeyInfo: "-"},
		"third with SHA-384": {Pair: samltest.EC(1), Method: samltest.ECSHA384, Digest: samltest.SHA384}, "third with SHA-512": {Pair: samltest.EC(1), Method: samltest.ECSHA512, Digest: samltest.SHA512},
		"second with the first in KeyInfo": {Pair: expired, KeyInfo: samltest.Signing{Pair: samltest.RSA(0)}.X509()},
	} {
		if _, err := d.answer(func(r *samltest.Response) { r.Assertion.Sign = &s }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := d.answer(func(r *samltest.Response) { r.Assertion.Sign = &samltest.Signing{Pair: samltest.EC(66)} })
	refused(t, err, flows.ReasonInvalidAnswer, "the signature is not that of the provider's metadata")
}

// Roll-over of our own key: what is encrypted to either opens.
func TestOwnKeys(t *testing.T) {
	second := samltest.RSA(101)
	d := newDuo(t, nil)
	keys, err := d.s.spKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d = newDuo(t, func(s *SAML) {
		s.Keys = append(s.Keys, KeyPair{Key: file(t, second.KeyPEM()), Certificate: file(t, second.CertPEM())})
	})
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, p := range []samltest.Pair{own, second} {
		for _, block := range []string{samltest.AES128CBC, samltest.AES256GCM} {
			d.mustAnswer(func(r *samltest.Response) { r.Assertion.Encrypt = &samltest.Encryption{To: p.Cert, Block: block} })
		}
	}
}

// 5,000 groups arrive, all of them.
func TestManyGroups(t *testing.T) {
	d := newDuo(t, nil)
	p := d.mustAnswer(func(r *samltest.Response) { samltest.ManyGroups(r, 5000) })
	if len(p.User.Groups) != 5000 || p.User.Groups[4999] != "4999" {
		t.Errorf("%d groups", len(p.User.Groups))
	}
}

// Nothing of the person stands in a refusal's text for the log beyond what says why.
func TestRefusalsAreShort(t *testing.T) {
	d := newDuo(t, nil)
	for _, c := range samltest.Corpus() {
		if c.Reason == "" {
			continue
		}
		b, private := d.bench()
		_, err := d.finish(posted(c.Make(b)), private)
		if err == nil || len(err.Error()) > 800 || strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
			t.Errorf("%s: %q", c.Name, err)
		}
	}
}

// What the provider may not speak for is not taken, whoever configured what (S9).
func TestS09MetadataScopes(t *testing.T) {
	i := samltest.New(t, 0)
	i.Scopes = []string{"a.example"}
	d := duoWith(t, i, func(s *SAML) { s.Attributes = map[string]string{"name": "eduPersonPrincipalName"} })
	eppn := func(v ...string) func(*samltest.Response) {
		return attributes(attr1("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", v...), attr1("urn:oid:1.3.6.1.4.1.5923.1.1.1.9", "staff@A.example", "staff@b.example", "staff"))
	}
	p := d.mustAnswer(eppn("x@a.example"))
	if p.User.Name != "x@a.example" || p.User.Attributes["eduPersonScopedAffiliation"] != "staff@A.example" {
		t.Errorf("name %q, attributes %v", p.User.Name, p.User.Attributes)
	}
	for _, foreign := range []string{"x@b.example", "x@sub.a.example", "x@a.example@b.example", "x"} {
		if p := d.mustAnswer(eppn(foreign)); p.User.Name != "" {
			t.Errorf("%q is taken for the name", foreign)
		}
	}
}

func TestNilValueIsNone(t *testing.T) {
	d := newDuo(t, nil)
	p := d.mustAnswer(func(r *samltest.Response) {
		r.Assertion.Attributes = []samltest.Attribute{attr1("groups", "VALUE", "staff")}
		r.Assertion.Before = samltest.Swap("<saml:AttributeValue>VALUE", `<saml:AttributeValue xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true">`)
	})
	if !slices.Equal(p.User.Groups, []string{"staff"}) {
		t.Errorf("groups %q", p.User.Groups)
	}
}
