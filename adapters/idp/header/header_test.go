package header

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func provider(t testing.TB, text string) *Provider {
	t.Helper()
	p := new(Provider)
	if err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("header {\n" + text + "\n}")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Provision(caddy.Context{}), p.Validate(), p.Bind(flowstest.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	return p
}

func sent(peer string, pairs ...string) *flows.Request {
	r := &flows.Request{Peer: peer, Captured: map[string][]string{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Captured[pairs[i]] = append(r.Captured[pairs[i]], pairs[i+1])
	}
	return r
}

func TestSuite(t *testing.T) {
	t.Parallel()
	const from = "10.0.0.1:4711"
	p := provider(t, "user SM_USER\nattribute groups SM_USERGROUPS ^\nfrom 10.0.0.0/31 2001:db8::/64")
	flowstest.TestRequestVerifier(t, flowstest.Vouching{
		Guest: p, Sent: func() *flows.Request { return sent(from, "Sm_user", "anna", "Sm_usergroups", "a^b") },
		Strangers: []*flows.Request{
			sent("10.0.0.2:4711", "Sm_user", "anna"), sent("[::1]:1", "Sm_user", "anna"), sent("@", "Sm_user", "anna"),
			sent("", "Sm_user", "anna"), sent("10.0.0.1", "Sm_user", "anna"),
		},
	})
	for _, peer := range []string{from, "[::ffff:10.0.0.1]:1", "[2001:db8::7]:1"} {
		if _, err := p.VerifyRequest(t.Context(), sent(peer, "SM_USER", "anna")); err != nil {
			t.Errorf("%s: %v", peer, err)
		}
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	const lines = "user SM_USER\nattribute subject SM_UNIVERSALID\nattribute email MAIL\nattribute groups G\nattribute display_name CN\nattribute dept DEPT\nattribute roles ROLES ;\nfrom 10.0.0.1"
	request := sent("10.0.0.1:1", "SM_USER", "anna", "SM_UNIVERSALID", "00427", "MAIL", "anna@example.com", "G", "a, b,,c", "CN", "Anna Berger", "DEPT", "R;D", "ROLES", "x;y")
	proof, err := provider(t, lines).VerifyRequest(t.Context(), request)
	u := proof.User
	if err != nil || u.Subject != "00427" || u.Name != "anna" || u.Email != "" || u.DisplayName != "Anna Berger" || !slices.Equal(u.Groups, []string{"a", "b", "c"}) || u.Attributes["dept"] != "R;D" {
		t.Errorf("%+v, %v", u, err)
	}
	if roles, ok := u.Attributes["roles"].([]any); !ok || len(roles) != 2 || u.Claims["DEPT"] != "R;D" || proof.Issuer != "header SM_USER" {
		t.Errorf("%+v", proof)
	}
	p := provider(t, lines)
	p.Trust = []string{"email"}
	if proof, _ := p.VerifyRequest(t.Context(), request); proof.User.Email != "anna@example.com" {
		t.Errorf("trust email: %q", proof.User.Email)
	}
	delete(request.Captured, "SM_UNIVERSALID")
	if _, err := p.VerifyRequest(t.Context(), request); !errors.Is(err, flows.ErrNobody) {
		t.Errorf("without a subject: %v", err)
	}
}

// TestI18ClientCertificate: only one that the server verified counts, and with from both must hold.
func TestI18ClientCertificate(t *testing.T) {
	t.Parallel()
	cert := func(names ...string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "wam"}, DNSNames: names}
	}
	for _, tc := range []struct {
		lines string
		cert  *x509.Certificate
		peer  string
		want  bool
	}{
		{"client_cert", nil, "10.0.0.1:1", false},
		{"client_cert", cert(), "10.0.0.1:1", true},
		{"client_cert wam.example", cert(), "10.0.0.1:1", false},
		{"client_cert wam.example", cert("wam.example"), "10.0.0.1:1", true},
		{"client_cert other wam", cert(), "10.0.0.1:1", true},
		{"client_cert\nfrom 10.0.0.1", cert(), "10.0.0.2:1", false},
		{"client_cert\nfrom 10.0.0.1", nil, "10.0.0.1:1", false},
		{"client_cert\nfrom 10.0.0.1", cert(), "10.0.0.1:1", true},
	} {
		r := sent(tc.peer, "SM_USER", "anna")
		r.Certificate = tc.cert
		if _, err := provider(t, "user SM_USER\n"+tc.lines).VerifyRequest(t.Context(), r); (err == nil) != tc.want {
			t.Errorf("%s, certificate %v, peer %s: %v", tc.lines, tc.cert != nil, tc.peer, err)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"from 10.0.0.1":                                        "user is required",
		"user SM_USER":                                         "from or client_cert is required",
		"user SM_USER\nfrom 0.0.0.0/0":                         "would believe everybody",
		"user SM_USER\nfrom ::/0":                              "would believe everybody",
		"user SM_USER\nfrom wam.example":                       "is no address such as",
		"user SM_USER\nfrom fe80::1%eth0":                      "is no address such as",
		"user SM_USER\nfrom":                                   "from takes one or more",
		"user SM_USER\nuser X\nfrom 10.0.0.1":                  "user is written twice",
		"user {SM}\nfrom 10.0.0.1":                             "is no name of a header",
		"user a b\nfrom 10.0.0.1":                              "user takes a header",
		"user SM_USER\nattribute dept SM-USER\nfrom 10.0.0.1":  "cannot tell",
		"user SM_USER\nattribute key X\nfrom 10.0.0.1":         "attribute 'key' cannot be read",
		"user SM_USER\nattribute x\nfrom 10.0.0.1":             "attribute takes an attribute and a header",
		"user SM_USER\nattribute x A\nattribute x B\nfrom ::1": "attribute x is written twice",
		"user SM_USER\ntrusts 10.0.0.1":                        "header has no option 'trusts'",
	} {
		p := new(Provider)
		err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("header {\n" + lines + "\n}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", lines, err, want)
		}
	}
}

// FuzzOnce: whatever comes, nobody is believed whose header came in two ways, or is no text.
func FuzzOnce(f *testing.F) {
	for _, s := range []string{"anna", "an\x00na", "\xff", " anna ", ""} {
		f.Add("SM_USER", s, "SM-USER", "mallory")
	}
	p := provider(f, "user SM_USER\nfrom 10.0.0.1")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		proof, err := p.VerifyRequest(t.Context(), sent("10.0.0.1:1", a, b, c, d))
		if err != nil {
			return
		}
		mine := func(n string) bool { return strings.EqualFold(n, "SM_USER") }
		if mine(a) == mine(c) || mine(a) && proof.User.Name != strings.TrimSpace(b) || mine(c) && proof.User.Name != strings.TrimSpace(d) ||
			proof.User.Name == "" || strings.ContainsAny(proof.User.Name, "\x00\r\n") {
			t.Errorf("%q: %q, %q: %q → %q", a, b, c, d, proof.User.Name)
		}
	})
}
