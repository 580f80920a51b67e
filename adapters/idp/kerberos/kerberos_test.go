package kerberos

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/jcmturner/gokrb5/v8/iana/addrtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/sallyport-gateway/sallyport/adapters/idp/kerberos/kerberostest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

const realm = "EXAMPLE.COM"

// rig is a bound provider and the service that tickets are given for.
type rig struct {
	*Provider
	t       testing.TB
	reg     *flowstest.Registry
	service *kerberostest.Service
	path    string
}

func newRig(t testing.TB, lines string) *rig {
	t.Helper()
	r := &rig{t: t, reg: flowstest.NewRegistry(), service: kerberostest.NewService(t, "HTTP/app.example.com", realm)}
	r.path = r.service.Write(t, filepath.Join(t.TempDir(), "app.keytab"))
	r.Provider = r.load(lines)
	return r
}

func (r *rig) load(lines string) *Provider {
	r.t.Helper()
	p := new(Provider)
	if err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("kerberos {\nkeytab " + r.path + "\n" + lines + "\n}")); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: r.t.Context()})
	r.t.Cleanup(cancel)
	if err := errors.Join(p.Provision(ctx), p.Validate(), p.Bind(r.reg)); err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) ticket(name string) *kerberostest.Ticket {
	return r.service.Ticket(r.t, name, r.reg.Now())
}

func (r *rig) shows(token []byte) (flows.Proof, error) {
	return r.Negotiate(context.Background(), request, token)
}

var request = &flows.Request{IP: "192.0.2.7"}

// broken are good tickets but for one thing.
var broken = map[string]func(k *kerberostest.Ticket){
	"expired":                            func(k *kerberostest.Ticket) { k.Part.EndTime = k.Part.AuthTime },
	"of tomorrow":                        func(k *kerberostest.Ticket) { k.Part.StartTime = k.Part.EndTime },
	"invalid":                            func(k *kerberostest.Ticket) { types.SetFlag(&k.Part.Flags, flags.Invalid) },
	"a clock that is late":               func(k *kerberostest.Ticket) { k.Authenticator.CTime = k.Authenticator.CTime.Add(-6 * time.Minute) },
	"a clock that is early":              func(k *kerberostest.Ticket) { k.Authenticator.CTime = k.Authenticator.CTime.Add(6 * time.Minute) },
	"another name in the authenticator":  func(k *kerberostest.Ticket) { k.Authenticator.CName.NameString = []string{"root"} },
	"another realm in the authenticator": func(k *kerberostest.Ticket) { k.Part.CRealm = "EVIL.EXAMPLE" },
	"the realm of the authenticator alone": func(k *kerberostest.Ticket) {
		k.Part.CRealm, k.Authenticator.CRealm = realm, "EVIL.EXAMPLE"
	},
	"another realm":      func(k *kerberostest.Ticket) { k.Part.CRealm, k.Authenticator.CRealm = "EVIL.EXAMPLE", "EVIL.EXAMPLE" },
	"the realm in small": func(k *kerberostest.Ticket) { k.Part.CRealm, k.Authenticator.CRealm = "example.com", "example.com" },
	"an alias":           func(k *kerberostest.Ticket) { k.Part.CName.NameType = nametype.KRB_NT_ENTERPRISE },
	"a service":          func(k *kerberostest.Ticket) { k.Part.CName.NameType = nametype.KRB_NT_SRV_HST },
	"nobody":             func(k *kerberostest.Ticket) { named(k, "WELLKNOWN", "ANONYMOUS") },
	"a computer":         func(k *kerberostest.Ticket) { named(k, "PC7$") },
	"no name":            func(k *kerberostest.Ticket) { named(k) },
	"an empty name":      func(k *kerberostest.Ticket) { named(k, "") },
	"a slash in a name":  func(k *kerberostest.Ticket) { named(k, "anna/admin") },
	"a realm in a name":  func(k *kerberostest.Ticket) { named(k, "anna@EVIL.EXAMPLE") },
	"a NUL in a name":    func(k *kerberostest.Ticket) { named(k, "anna\x00") },
	"a blank in a name":  func(k *kerberostest.Ticket) { named(k, "anna ") },
	"a long name":        func(k *kerberostest.Ticket) { named(k, strings.Repeat("a", 300)) },
	"given to another address": func(k *kerberostest.Ticket) {
		k.Part.CAddr = []types.HostAddress{{AddrType: addrtype.IPv4, Address: []byte{192, 0, 2, 8}}}
	},
}

func named(k *kerberostest.Ticket, parts ...string) {
	k.Part.CName.NameString, k.Authenticator.CName.NameString = parts, parts
}

func TestSuite(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	refused := map[string][]byte{}
	for what, spoil := range broken {
		k := r.ticket("anna")
		spoil(k)
		refused[what] = k.Token(t)
	}
	good := r.ticket("anna")
	refused["another host"] = kerberostest.NewService(t, "HTTP/app.example.com", realm).Ticket(t, "anna", r.reg.Now()).Token(t)
	refused["NTLM in SPNEGO"] = kerberostest.Init([]asn1.ObjectIdentifier{kerberostest.NTLM}, []byte("NTLMSSP\x00"))
	refused["NTLM first"] = good.Token(t, kerberostest.NTLM, kerberostest.KRB5)
	refused["no ticket in it"] = kerberostest.Init([]asn1.ObjectIdentifier{kerberostest.KRB5}, nil)
	refused["SPNEGO in SPNEGO"] = kerberostest.Init([]asn1.ObjectIdentifier{kerberostest.KRB5}, good.Token(t))
	refused["no AP-REQ"] = kerberostest.GSS(kerberostest.KRB5, append([]byte{2, 0}, good.APReq(t)...))
	refused["text"] = []byte("Negotiate")
	n := 0
	flowstest.TestNegotiator(t, flowstest.Negotiating{
		Guest: r.Provider, Request: request, Refused: refused,
		Token: func() []byte { n++; k := r.ticket("anna"); k.Authenticator.Cusec = n; return k.Token(t) },
	})
}

// TestTickets: what is taken, as it comes from different systems.
func TestTickets(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for what, token := range map[string][]byte{
		"as MIT and Heimdal": r.ticket("anna").Token(t),
		"as Windows":         r.ticket("anna").Token(t, kerberostest.MSKRB5, kerberostest.KRB5, kerberostest.NTLM),
		"without SPNEGO":     kerberostest.GSS(kerberostest.KRB5, append([]byte{1, 0}, r.ticket("anna").APReq(t)...)),
	} {
		proof, err := r.shows(token)
		if u := proof.User; err != nil || u.Subject != "anna@EXAMPLE.COM" || u.Name != "anna" || u.Email != "" || u.Attributes["principal"] != "anna@EXAMPLE.COM" || proof.Issuer != "kerberos EXAMPLE.COM" {
			t.Errorf("%s: %+v, %v", what, proof, err)
		}
	}
	k := r.ticket("anna")
	proof, err := r.shows(k.Token(t))
	if err != nil || len(proof.Evidence) != 1 {
		t.Fatalf("%+v, %v", proof, err)
	}
	if e := proof.Evidence[0]; e.Method != "kerberos" || !slices.Equal(e.AMR, []string{"wia"}) || !e.At.Equal(k.Part.AuthTime) {
		t.Errorf("evidence is of when the person signed in to the computer: %+v", e)
	}
	k.Part.AuthTime, k.Part.CAddr = r.reg.Now().Add(time.Minute).UTC().Truncate(time.Second), []types.HostAddress{{AddrType: addrtype.IPv4, Address: []byte{192, 0, 2, 7}}}
	if proof, err = r.shows(k.Token(t)); err != nil || proof.Evidence[0].At.After(r.reg.Now()) {
		t.Errorf("a clock of the centre that is early, and our own address: %+v, %v", proof.Evidence, err)
	}
	named(k, "anna", "admin")
	if proof, err = r.shows(k.Token(t)); err != nil || proof.User.Name != "anna/admin" {
		t.Errorf("another principal of somebody is another account: %+v, %v", proof.User, err)
	}
}

// TestMarksLastAsLongAsAnAnswerIsTaken: and as long as a run that took it may wait (I09).
func TestMarksLastAsLongAsAnAnswerIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	k := r.ticket("anna")
	k.Authenticator.CTime = k.Authenticator.CTime.Add(4 * time.Minute)
	proof, err := r.shows(k.Token(t))
	if err != nil || len(proof.Once) != 1 || proof.Once[0].Until.Before(k.Authenticator.CTime.Add(skew+10*time.Minute)) {
		t.Errorf("%+v, %v", proof.Once, err)
	}
}

func TestRealmsAndPrincipals(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	other := kerberostest.NewService(t, "HTTP/other.example.com", realm)
	host := kerberostest.NewService(t, "host/app.example.com", realm)
	r.service.Write(t, r.path, other, host)
	for _, tc := range []struct {
		lines, name, of string
		service         *kerberostest.Service
		want            string
	}{
		{"", "anna", realm, other, "anna"},
		{"", "anna", realm, host, ""},
		{"principal HTTP/app.example.com", "anna", realm, r.service, "anna"},
		{"principal HTTP/app.example.com", "anna", realm, other, ""},
		{"principal HTTP/app.example.com@EXAMPLE.COM", "anna", realm, r.service, "anna"},
		{"principal HTTP/other.example.com@EXAMPLE.COM", "anna", realm, r.service, ""},
		{"kerberos_realm PARTNER.EXAMPLE", "anna", realm, r.service, ""},
		{"kerberos_realm PARTNER.EXAMPLE", "anna", "PARTNER.EXAMPLE", r.service, "anna"},
		{"kerberos_realm EXAMPLE.COM PARTNER.EXAMPLE", "anna", "PARTNER.EXAMPLE", r.service, "anna@PARTNER.EXAMPLE"},
		{"kerberos_realm EXAMPLE.COM\nkerberos_realm PARTNER.EXAMPLE\nname short", "anna", "PARTNER.EXAMPLE", r.service, "anna"},
		{"name principal", "anna", realm, r.service, "anna@EXAMPLE.COM"},
	} {
		r.Provider = r.load(tc.lines)
		k := tc.service.Ticket(t, tc.name, r.reg.Now())
		k.Part.CRealm, k.Authenticator.CRealm = tc.of, tc.of
		proof, err := r.shows(k.Token(t))
		if proof.User.Name != tc.want || (err == nil) != (tc.want != "") || err == nil && proof.User.Subject != tc.name+"@"+tc.of {
			t.Errorf("%q, %s for %s: %+v, %v", tc.lines, tc.of, tc.service.Name, proof.User, err)
		}
	}
}

// TestKeytabIsReadAgain: keys are rotated under a running gateway; a file that is no
// good any more leaves the old keys, and Health says so.
func TestKeytabIsReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	old := r.ticket("anna").Token(t)
	replace := func(b []byte) {
		t.Helper()
		next := r.path + ".next"
		if err := errors.Join(os.WriteFile(next, b, 0o600), os.Rename(next, r.path)); err != nil {
			t.Fatal(err)
		}
	}
	r.service.Rotate(t)
	if _, err := r.shows(r.ticket("anna").Token(t)); flows.ReasonOf(err) != flows.ReasonTicketRefused {
		t.Errorf("a key that is in no keytab yet: %v", err)
	}
	replace(r.service.Keytab(t))
	if _, err := r.shows(r.ticket("anna").Token(t)); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := r.shows(old); err != nil {
		t.Errorf("the old key beside it: %v", err)
	}
	replace([]byte("no keytab, but of another length"))
	if _, err := r.shows(r.ticket("anna").Token(t)); err != nil {
		t.Errorf("after a bad file: %v", err)
	}
	if err := r.Health(); err == nil || !strings.Contains(err.Error(), "is no keytab") {
		t.Errorf("health after a bad file: %v", err)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	if _, err := r.shows(r.ticket("anna").Token(t)); err != nil || r.Health() == nil {
		t.Errorf("after the file is gone: %v, health %v", err, r.Health())
	}
	replace(r.service.Keytab(t))
	if err := r.Health(); err != nil {
		t.Errorf("health after it came back: %v", err)
	}
}

// finder is a directory of people.
type finder struct {
	flows.ProviderOptions
	err   error
	asked string
}

func (f *finder) FindPerson(_ context.Context, name string) (flows.Proof, error) {
	f.asked = name
	return flows.Proof{
		User:   flows.User{Subject: "guid-" + name, Name: name, Groups: []string{"staff"}, Attributes: map[string]any{"department": "R+D"}},
		Issuer: "dc=example", NotAfter: flowstest.Start.Add(time.Hour), Evidence: []flows.Evidence{{Method: "password", AMR: []string{"pwd"}, At: flowstest.Start, Credential: "7"}},
	}, f.err
}

// TestI04Directory: who a ticket is of says the directory, and both providers keep
// people under one realm; the evidence is the ticket's.
func TestI04Directory(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	people := &finder{}
	r.reg.Add("corp", "ldap", people)
	r.Provider = r.load("directory corp")
	if got := (&flows.Provider{Name: "desk", Guest: r.Provider}).Realm(); got != "corp" {
		t.Errorf("realm %s", got)
	}
	proof, err := r.shows(r.ticket("anna").Token(t))
	e := proof.Evidence
	if err != nil || people.asked != "anna" || proof.User.Subject != "guid-anna" || proof.User.Attributes["principal"] != "anna@EXAMPLE.COM" || proof.User.Attributes["department"] != "R+D" || proof.NotAfter.IsZero() {
		t.Errorf("%+v, %v", proof, err)
	}
	if len(e) != 1 || e[0].Method != "kerberos" || slices.Contains(e[0].AMR, "pwd") || e[0].Credential != "7" || proof.Issuer != "kerberos EXAMPLE.COM" {
		t.Errorf("%+v", proof)
	}
	for in, want := range map[error]flows.Reason{
		fmt.Errorf("%w: two", flows.ErrNotFound):       flows.ReasonNotInDirectory,
		flows.Refuse(flows.ReasonAccountDisabled, nil): flows.ReasonAccountDisabled,
		flows.Refuse(flows.ReasonProviderDown, nil):    flows.ReasonProviderDown,
		flows.Refuse(flows.ReasonAccountExpired, nil):  flows.ReasonAccountExpired,
	} {
		people.err = in
		if p, err := r.shows(r.ticket("anna").Token(t)); flows.ReasonOf(err) != want || len(p.Evidence) > 0 {
			t.Errorf("%v: got %v", in, err)
		}
	}
}

func TestUnasked(t *testing.T) {
	t.Parallel()
	r := newRig(t, "from 10.0.0.0/8 2001:db8::/32\nfrom 192.0.2.1")
	for ip, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "2001:db8::1": true, "192.0.2.1": true, "192.0.2.2": false, "": false, "x": false} {
		if got := r.Unasked(&flows.Request{IP: ip}); got != want {
			t.Errorf("%q: %v", ip, got)
		}
	}
	if !newRig(t, "").Unasked(&flows.Request{}) {
		t.Error("without from everybody is asked")
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"":                                          "keytab is required",
		"keytab":                                    "keytab takes one argument",
		"keytab a\nkeytab b":                        "keytab is written twice",
		"keytab a\nprincipal host/x":                "is not one that browsers ask for",
		"keytab a\nprincipal HTTP/":                 "is not one that browsers ask for",
		"keytab a\nkerberos_realm":                  "takes one or more",
		"keytab a\nkerberos_realm A A":              "is written twice",
		"keytab a\nkerberos_realm a@b":              "is no realm such as",
		"keytab a\nname long":                       "is neither short nor principal",
		"keytab a\nname short\ndirectory c":         "says what people are called",
		"keytab a\ndirectory c\nkerberos_realm A B": "knows the people of one realm",
		"keytab a\nfrom intranet":                   "is no address such as",
		"keytab a\nrealms A":                        "kerberos has no option 'realms'",
	} {
		p := new(Provider)
		err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("kerberos {\n" + lines + "\n}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", lines, err, want)
		}
	}
}

// TestLoadErrors: what only the file can tell names where the keytab was written.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := kerberostest.NewService(t, "HTTP/app.example.com", realm)
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := app.Keytab(t)
	for lines, want := range map[string]string{
		"keytab " + filepath.Join(dir, "none"):          "no such file",
		"keytab " + dir:                                 "is no file",
		"keytab {env.NO_SUCH_KEYTAB}":                   "",
		"keytab " + write("empty", nil):                 "it is malformed",
		"keytab " + write("text", []byte("-----BEGIN")): "it is malformed",
		"keytab " + write("cut", good[:len(good)-9]):    "it is malformed",
		"keytab " + write("none-of-ours", kerberostest.NewService(t, "host/a", realm).Keytab(t)):                 "it has no key of a principal HTTP/<host>",
		"keytab " + write("good", good) + "\nprincipal HTTP/b.example.com":                                       "there are: HTTP/app.example.com@EXAMPLE.COM",
		"keytab " + write("two", app.Keytab(t, kerberostest.NewService(t, "HTTP/app.example.com", "B.EXAMPLE"))): "kerberos_realm must say",
	} {
		p := new(Provider)
		if err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("kerberos {\n" + lines + "\n}")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		err := p.Provision(ctx)
		cancel()
		if err == nil || !strings.HasPrefix(err.Error(), "Testfile:2: keytab: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", lines, err, want)
		}
	}
	p := new(Provider)
	p.Keytab = "{file." + write("good", good) + "}"
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if err := p.Provision(ctx); err != nil {
		t.Errorf("as a secret is written: %v", err)
	}
	reg := flowstest.NewRegistry().Add("desk", "header", &struct{ flows.ProviderOptions }{}).Add("corp", "ldap", &finder{})
	p.Directory = "desk"
	if err := p.Bind(reg); err == nil || !strings.Contains(err.Error(), "type ldap can") {
		t.Errorf("a directory that is none: %v", err)
	}
	p.Directory, p.Realm = "corp", "desk"
	if err := p.Bind(reg); err == nil || !strings.Contains(err.Error(), "under realm corp") {
		t.Errorf("another realm: %v", err)
	}
}

// FuzzToken: whatever a browser sends, it is refused or it is what was given.
func FuzzToken(f *testing.F) {
	r := newRig(f, "")
	k := r.ticket("anna")
	for _, token := range [][]byte{
		k.Token(f), k.Token(f, kerberostest.MSKRB5), kerberostest.GSS(kerberostest.KRB5, append([]byte{1, 0}, k.APReq(f)...)),
		kerberostest.Init([]asn1.ObjectIdentifier{kerberostest.KRB5}, nil), []byte("NTLMSSP\x00"),
		{},
	} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		p, err := r.shows(token)
		if err == nil && p.User.Subject != "anna@EXAMPLE.COM" || err != nil && (flows.ReasonOf(err) != flows.ReasonTicketRefused || p.User.Subject != "") {
			t.Errorf("%x: %+v, %v", token, p.User, err)
		}
	})
}

// FuzzAPReq is FuzzToken behind the frames, which random bytes hardly pass.
func FuzzAPReq(f *testing.F) {
	r := newRig(f, "")
	f.Add(r.ticket("anna").APReq(f))
	f.Fuzz(func(t *testing.T, req []byte) {
		p, err := r.shows(kerberostest.GSS(kerberostest.KRB5, append([]byte{1, 0}, req...)))
		if err == nil && p.User.Subject != "anna@EXAMPLE.COM" || err != nil && flows.ReasonOf(err) != flows.ReasonTicketRefused {
			t.Errorf("%x: %+v, %v", req, p.User, err)
		}
	})
}

// FuzzKeytab: a file is read or refused, and what is said of it holds no key.
func FuzzKeytab(f *testing.F) {
	f.Add(kerberostest.NewService(f, "HTTP/app.example.com", realm).Keytab(f))
	f.Add([]byte{5, 2, 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{5, 2, 0x80, 0, 0, 0})
	f.Add([]byte{5, 2, 0, 0, 0, 8, 0, 1, 0xff, 0xff, 0, 0, 0, 0}) // a realm of -1 bytes
	f.Fuzz(func(t *testing.T, b []byte) {
		kt, err := parseKeytab(b)
		if err == nil && len(kt.Entries) == 0 || err != nil && len(err.Error()) > 80 {
			t.Errorf("%x: %v", b, err)
		}
	})
}
