package saml

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const base = "https://app.example/.identity/saml/corp"

// peerKey is a key of the provider and its certificate.
type peerKey struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var testKeys = sync.OnceValue(func() (keys [3]peerKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = peerKey{key, certificate(key)}
	}
	return keys
})

func certificate(key any) *x509.Certificate {
	var public any
	switch k := key.(type) {
	case *rsa.PrivateKey:
		public = k.Public()
	case *ecdsa.PrivateKey:
		public = k.Public()
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: flowstest.Start.AddDate(-3, 0, 0), NotAfter: flowstest.Start.AddDate(-2, 0, 0), // expired: only the key counts
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

// description is the metadata of a provider; its zero value is a usual one.
type description struct {
	entity, until, cache string
	certs                []*x509.Certificate
	rawCerts             []string
	sso, slo             []endpoint
	attributes, more     string // of the role; inside of the role
	prolog               string
}

const idpEntity = "https://idp.example/metadata"

func (d description) String() string {
	if d.entity == "" {
		d.entity = idpEntity
	}
	if d.certs == nil && d.rawCerts == nil {
		d.certs = []*x509.Certificate{testKeys()[0].cert}
	}
	if d.sso == nil {
		d.sso = []endpoint{{Binding: redirectBinding, Location: "https://idp.example/sso"}}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `%s<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" entityID="%s"`, d.prolog, d.entity)
	for name, v := range map[string]string{"validUntil": d.until, "cacheDuration": d.cache} {
		if v != "" {
			fmt.Fprintf(&b, ` %s="%s"`, name, v)
		}
	}
	fmt.Fprintf(&b, "><md:IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:1.1:protocol urn:oasis:names:tc:SAML:2.0:protocol\" %s>\n%s", d.attributes, d.more)
	for _, c := range d.certs {
		d.rawCerts = append(d.rawCerts, base64.StdEncoding.EncodeToString(c.Raw))
	}
	for _, c := range d.rawCerts {
		fmt.Fprintf(&b, "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n  %s\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>\n", c)
	}
	for _, e := range d.slo {
		response := ""
		if e.ResponseLocation != "" {
			response = ` ResponseLocation="` + e.ResponseLocation + `"`
		}
		fmt.Fprintf(&b, "<md:SingleLogoutService Binding=\"%s\" Location=\"%s\"%s/>\n", e.Binding, e.Location, response)
	}
	for _, e := range d.sso {
		fmt.Fprintf(&b, "<md:SingleSignOnService Binding=\"%s\" Location=\"%s\"/>\n", e.Binding, e.Location)
	}
	b.WriteString("</md:IDPSSODescriptor></md:EntityDescriptor>\n")
	return b.String()
}

// place serves metadata that a test changes.
type place struct {
	*httptest.Server
	mu    sync.Mutex
	doc   string
	serve http.HandlerFunc // instead of doc
	asked int
}

func newPlace(t *testing.T, d description) *place {
	t.Helper()
	p := &place{doc: d.String()}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if p.serve != nil {
			p.serve(w, r)
			return
		}
		_, _ = w.Write([]byte(p.doc))
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *place) set(doc string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doc, p.serve = doc, nil
}

func (p *place) answer(f http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = f
}

func (p *place) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// rig is a provider guest, where its metadata comes from, and one clock.
type rig struct {
	t     *testing.T
	place *place
	s     *SAML
	reg   *flowstest.Registry
}

func newRig(t *testing.T, d description, edit func(*SAML)) *rig {
	t.Helper()
	r := &rig{t: t, place: newPlace(t, d), reg: flowstest.NewRegistry()}
	r.reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}})
	t.Cleanup(r.reg.Client.CloseIdleConnections)
	r.seedKey()
	r.s = r.guest(edit)
	return r
}

// seedKey puts our own key where it would be made: making one takes a second.
func (r *rig) seedKey() {
	k := testKeys()[2]
	if err := keepKey(r.t.Context(), r.reg.VaultOf("saml"), k.key, k.cert); err != nil {
		r.t.Fatal(err)
	}
}

// guest makes one more provider guest, as a reload or another node would.
func (r *rig) guest(edit func(*SAML)) *SAML {
	r.t.Helper()
	s := &SAML{Metadata: r.place.URL + "/metadata"}
	if edit != nil {
		edit(s)
	}
	provision(r.t, s)
	if err := s.Bind(r.reg); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func provision(t testing.TB, s *SAML) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(func() {
		cancel()
		if err := s.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	s.warming.Store(true) // tests look when they want to
	s.pause = func(context.Context, time.Duration) bool { return false }
}

// refresh looks at the metadata as the background does.
func (r *rig) refresh() error {
	r.t.Helper()
	r.reg.Forward(2 * time.Second)
	return r.s.src.discover(r.t.Context())
}

func (r *rig) peer() *idp {
	r.t.Helper()
	m, err := r.s.peer(r.t.Context())
	if err != nil {
		r.t.Fatalf("no metadata: %v", err)
	}
	return m
}

func ecdsaKey(t *testing.T) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate(key)
}
