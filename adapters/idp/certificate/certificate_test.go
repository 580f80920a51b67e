package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// made is a certificate, signed by another or by itself.
func made(t *testing.T, c x509.Certificate, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(77), flowstest.Start.Add(-time.Hour), flowstest.Start.Add(time.Hour)
	if by == nil {
		by, key = &c, own
	}
	raw, err := x509.CreateCertificate(rand.Reader, &c, by, own.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out, own
}

func newCA(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	return made(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}, nil, nil)
}

func newProvider(t *testing.T, reg *flowstest.Registry, ca *x509.Certificate, words string) *Provider {
	t.Helper()
	if ca != nil {
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		words += "\nca " + file
	}
	p := new(Provider)
	if err := p.UnmarshalCaddyfile(caddyfile.NewTestDispenser("certificate {\n" + words + "\n}")); err != nil {
		t.Fatal(err)
	}
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Bind(reg); err != nil {
		t.Fatal(err)
	}
	return p
}

func shows(chain ...*x509.Certificate) *flows.Request {
	return &flows.Request{Certificate: chain[0], Chains: [][]*x509.Certificate{chain}}
}

func TestCertificateIsAClientVerifier(t *testing.T) {
	t.Parallel()
	ca, key := newCA(t, "ours")
	leaf, _ := made(t, x509.Certificate{Subject: pkix.Name{CommonName: "robot"}}, ca, key)
	over, _ := made(t, x509.Certificate{Subject: pkix.Name{CommonName: "robot"}}, ca, key)
	over.NotAfter = flowstest.Start.Add(-time.Minute)
	flowstest.TestClientVerifier(t, flowstest.Showing{
		Guest: newProvider(t, flowstest.NewRegistry(), ca, ""), Good: func() *flows.Request { return shows(leaf, ca) }, Bad: []*flows.Request{shows(over, ca)},
	})
}

// TestCertificateLeadsToOurs: one of another authority is as good as none, however much
// it says.
func TestCertificateLeadsToOurs(t *testing.T) {
	t.Parallel()
	ca, key := newCA(t, "ours")
	twin, twinKey := newCA(t, "ours")
	ours, _ := made(t, x509.Certificate{Subject: pkix.Name{CommonName: "robot"}}, ca, key)
	theirs, _ := made(t, x509.Certificate{Subject: pkix.Name{CommonName: "robot"}}, twin, twinKey)
	p := newProvider(t, flowstest.NewRegistry(), ca, "")
	if _, err := p.Presents(shows(ours, ca)); err != nil {
		t.Error(err)
	}
	for what, r := range map[string]*flows.Request{
		"an authority of the same name": shows(theirs, twin), "without a chain": {Certificate: ours}, "only a chain": {Chains: [][]*x509.Certificate{{ours, ca}}},
	} {
		if _, err := p.Presents(r); !errors.Is(err, flows.ErrNobody) {
			t.Errorf("%s: %v", what, err)
		}
	}
	pinned := newProvider(t, flowstest.NewRegistry(), ours, "")
	if _, err := pinned.Presents(shows(ours)); err != nil {
		t.Errorf("a pinned one: %v", err)
	}
}

func TestCertificateNames(t *testing.T) {
	t.Parallel()
	uri, err := url.Parse("spiffe://example.com/robot")
	if err != nil {
		t.Fatal(err)
	}
	all := x509.Certificate{
		Subject:  pkix.Name{CommonName: "cn", Organization: []string{"Example"}, OrganizationalUnit: []string{"ops", "builds"}},
		DNSNames: []string{"robot.example.com"}, URIs: []*url.URL{uri}, EmailAddresses: []string{"robot@example.com"},
	}
	two := x509.Certificate{DNSNames: []string{"a.example.com", "b.example.com"}}
	for _, tc := range []struct {
		words string
		c     x509.Certificate
		want  string
	}{
		{"", all, "cn"},
		{"name common_name", all, "cn"},
		{"name dns", all, "robot.example.com"},
		{"name uri", all, "spiffe://example.com/robot"},
		{"name email", all, "robot@example.com"},
		{"name serial", all, "77"},
		{"", two, ""},
		{"name dns", two, ""},
		{"name uri", two, ""},
		{"", x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}, ""},
		{"", x509.Certificate{Subject: pkix.Name{CommonName: strings.Repeat("x", 256)}}, ""},
	} {
		leaf, _ := made(t, tc.c, nil, nil)
		p := newProvider(t, flowstest.NewRegistry(), nil, tc.words)
		proof, err := p.VerifyClient(t.Context(), shows(leaf), flows.ClientCredential{})
		if tc.want == "" && flows.ReasonOf(err) != flows.ReasonNameMissing || tc.want != "" && (err != nil || proof.User.Name != tc.want || proof.User.Subject != tc.want) {
			t.Errorf("%q: %q, %v", tc.words, proof.User.Name, err)
		}
	}
	leaf, _ := made(t, all, nil, nil)
	p := newProvider(t, flowstest.NewRegistry(), nil, "groups organizational_unit")
	proof, err := p.VerifyClient(t.Context(), shows(leaf), flows.ClientCredential{})
	if err != nil || strings.Join(proof.User.Groups, ",") != "ops,builds" || proof.User.Email != "" || !proof.NotAfter.Equal(leaf.NotAfter) {
		t.Errorf("%+v, %v", proof, err)
	}
	p.Trust = []string{"email"} // I06
	if proof, _ := p.VerifyClient(t.Context(), shows(leaf), flows.ClientCredential{}); proof.User.Email != "robot@example.com" {
		t.Errorf("%+v", proof.User)
	}
}
