package saml

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestParseMetadata(t *testing.T) {
	t.Parallel()
	_, ec := ecdsaKey(t)
	doc := description{
		until: "2026-03-02T12:00:00Z", cache: "PT2H", attributes: `WantAuthnRequestsSigned="true"`,
		more:  `<md:Extensions><shibmd:Scope regexp="false">Example.ORG</shibmd:Scope><shibmd:Scope regexp="true">^.*$</shibmd:Scope></md:Extensions>`,
		certs: []*x509.Certificate{testKeys()[0].cert, ec, testKeys()[0].cert},
		sso: []endpoint{
			{Binding: "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", Location: "https://idp.example/soap"},
			{Binding: postBinding, Location: "https://idp.example/post"},
			{Binding: redirectBinding, Location: "https://idp.example/sso?tenant=1"},
		},
		slo: []endpoint{{Binding: redirectBinding, Location: "https://idp.example/slo", ResponseLocation: "https://idp.example/slo/answer"}},
	}
	m, err := parseMetadata([]byte(doc.String()), flowstest.Start)
	if err != nil {
		t.Fatal(err)
	}
	if m.EntityID != idpEntity || !m.WantSigned || !m.ValidUntil.Equal(flowstest.Start.Add(24*time.Hour)) || m.Cache != 2*time.Hour {
		t.Errorf("read %+v", m)
	}
	if len(m.Certs) != 2 || !m.Certs[1].Equal(ec) {
		t.Errorf("%d certificates, want the RSA and the ECDSA one", len(m.Certs))
	}
	if !slices.Equal(m.Scopes, []string{"example.org"}) {
		t.Errorf("scopes = %q", m.Scopes)
	}
	if e, ok := by(m.SSO, redirectBinding); len(m.SSO) != 2 || !ok || e.Location != "https://idp.example/sso?tenant=1" {
		t.Errorf("sso = %+v", m.SSO)
	}
	if len(m.SLO) != 1 || m.SLO[0].answerTo() != "https://idp.example/slo/answer" {
		t.Errorf("slo = %+v", m.SLO)
	}
	group := func(inner ...string) string {
		return `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" validUntil="2026-03-01T13:00:00">` + strings.Join(inner, "") + "</EntitiesDescriptor>"
	}
	m, err = parseMetadata([]byte(group("<EntityDescriptor entityID=\"urn:sp\"/>", group(doc.String()))), flowstest.Start)
	if err != nil || !m.ValidUntil.Equal(flowstest.Start.Add(time.Hour)) {
		t.Errorf("inside of two groups: %+v, %v", m, err)
	}
	_, err = parseMetadata([]byte(group(doc.String(), description{entity: "urn:other"}.String())), flowstest.Start)
	if err == nil || !strings.Contains(err.Error(), "describes 2 identity providers, as 'https://idp.example/metadata' and 'urn:other'; the document of one is needed") {
		t.Errorf("two providers: %v", err)
	}
}

// What nobody can trust or use is refused whole, with the reason.
func TestParseMetadataRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for _, tc := range []struct{ name, doc, want string }{
		{"empty", "", "no XML"},
		{"html", "<html><body>Sign in</body></html>", "begins with <html>"},
		{"json", `{"issuer":"x"}`, "no XML"},
		{"doctype", description{prolog: `<!DOCTYPE md:EntityDescriptor [<!ENTITY a "b">]>`}.String(), "document type declaration"},
		{"entity", description{more: "<md:Extensions>&a;</md:Extensions>"}.String(), "no XML"},
		{"deep", description{more: deep}.String(), "too many elements"},
		{"wide", description{more: strings.Repeat("<a/>", metadataNodes)}.String(), "too many elements"},
		{"two roots", description{}.String() + description{}.String(), "more than one root"},
		{"oversize", description{more: strings.Repeat(" ", metadataBytes)}.String(), "longer than"},
		{"cut", description{}.String()[:300], "no XML"},
		{"no entityID", description{entity: " "}.String(), "no usable entityID"},
		{"service provider", `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><SPSSODescriptor/></EntityDescriptor>`, "no SAML 2.0 identity provider"},
		{"SAML 1", strings.ReplaceAll(description{}.String(), nsSAMLP, "urn:mace:shibboleth:1.0"), "no SAML 2.0 identity provider"},
		{"other namespace", strings.ReplaceAll(description{}.String(), "SAML:2.0:metadata", "SAML:9:metadata"), "not with an EntityDescriptor"},
		{"expired", description{until: "2026-03-01T11:59:59Z"}.String(), "was valid until 2026-03-01T11:59:59Z"},
		{"no time", description{until: "tomorrow"}.String(), "validUntil 'tomorrow' is no time"},
		{"no key", description{certs: []*x509.Certificate{}}.String(), "no usable signing key: it has none"},
		{"bad base64", description{rawCerts: []string{"&amp;"}}.String(), "no base64"},
		{"bad certificate", description{rawCerts: []string{"AAAA"}}.String(), "a certificate cannot be read"},
		{"encryption key only", strings.ReplaceAll(description{}.String(), `use="signing"`, `use="encryption"`), "no usable signing key"},
		{"no sso", description{sso: []endpoint{}}.String(), "no usable SingleSignOnService"},
		{"sso by SOAP", description{sso: []endpoint{{Binding: "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", Location: "https://idp.example/s"}}}.String(), "no usable SingleSignOnService"},
		{"sso http", description{sso: []endpoint{{Binding: postBinding, Location: "http://idp.example/sso"}}}.String(), "is not https"},
		{"sso script", description{sso: []endpoint{{Binding: postBinding, Location: "javascript:alert(1)"}}}.String(), "no usable address"},
		{"sso user", description{sso: []endpoint{{Binding: redirectBinding, Location: "https://a:b@idp.example/sso"}}}.String(), "no usable address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m, err := parseMetadata([]byte(tc.doc), flowstest.Start)
			if m != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v; want %q", m, err, tc.want)
			}
		})
	}
}

// Metadata that changes for the worse leaves the last good one in its place, and
// Health says why (S12).
func TestS12Metadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	if r.s.Health() == nil {
		t.Error("healthy before anybody asked")
	}
	first := r.peer()
	if err := r.s.Health(); err != nil {
		t.Errorf("unhealthy after a good answer: %v", err)
	}
	huge := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range metadataBytes/4096 + 2 {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	for _, tc := range []struct {
		name, want string
		doc        fmt.Stringer
		serve      http.HandlerFunc
	}{
		{name: "other entityID", doc: description{entity: "https://evil.example/metadata", certs: []*x509.Certificate{testKeys()[1].cert}}, want: "describes 'https://evil.example/metadata', but this provider is 'https://idp.example/metadata'; if that is meant, write: was https://idp.example/metadata"},
		{name: "expired", doc: description{until: "2026-02-28T00:00:00Z"}, want: "was valid until"},
		{name: "last key removed", doc: description{certs: []*x509.Certificate{}}, want: "no usable signing key"},
		{name: "http endpoint", doc: description{sso: []endpoint{{Binding: redirectBinding, Location: "http://idp.example/sso"}}}, want: "is not https"},
		{name: "doctype", doc: description{prolog: "<!DOCTYPE x>"}, want: "document type"},
		{name: "oversize", serve: huge, want: "longer than"},
		{name: "error page", serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, want: "502"},
		{name: "redirect elsewhere", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://localhost:1/metadata", http.StatusFound)
		}, want: "redirect refused"},
		{name: "html", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html></html>")) }, want: "begins with <html>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.serve != nil {
				r.place.answer(tc.serve)
			} else {
				r.place.set(tc.doc.String())
			}
			err := r.refresh()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("refresh answered %v, want %q", err, tc.want)
			}
			if h := r.s.Health(); h == nil || h.Error() != err.Error() {
				t.Errorf("health = %v", h)
			}
			if m := r.peer(); m != first {
				t.Errorf("the last good metadata is gone: %+v", m)
			}
			// Another node and a restart find what was good, too, and no other entityID.
			other := r.guest(func(s *SAML) { s.EntityID = "urn:node:" + strings.ReplaceAll(tc.name, " ", "-") })
			m, err := other.peer(t.Context())
			if err != nil || m.EntityID != idpEntity || !m.Certs[0].Equal(testKeys()[0].cert) {
				t.Errorf("after a restart: %+v, %v", m, err)
			}
			if err := other.src.discover(t.Context()); err == nil || other.src.last() != m {
				t.Errorf("after a restart the document is taken: %v", err)
			}
		})
	}
	r.place.set(description{certs: []*x509.Certificate{testKeys()[1].cert}}.String())
	if err := r.refresh(); err != nil {
		t.Fatal(err)
	}
	if m := r.peer(); !m.Certs[0].Equal(testKeys()[1].cert) || r.s.Health() != nil {
		t.Errorf("a good change is not taken: %v", r.s.Health())
	}
}

// `was` lets the provider behind a place change, and only from what it names.
func TestMetadataWas(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	r.peer()
	r.place.set(description{entity: "urn:new"}.String())
	if err := r.refresh(); err == nil {
		t.Fatal("another entityID is taken")
	}
	for _, was := range []string{"urn:unrelated", idpEntity} { // in this order: what was taken once is the last good one
		good := was == idpEntity
		s := r.guest(func(s *SAML) { s.EntityID, s.Was = "urn:for:"+was, []string{was} })
		err := s.src.discover(t.Context())
		if good != (err == nil) {
			t.Errorf("was %s: %v", was, err)
		}
		if m := s.src.last(); good && (m == nil || m.EntityID != "urn:new") {
			t.Errorf("was %s: %+v", was, m)
		}
	}
}

// Another place under the same provider's name is who the configuration now
// means; that its logins are refused is the engine's part (I05).
func TestMetadataOtherPlace(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	r.peer()
	next := newPlace(t, description{entity: "urn:next"})
	s := r.guest(func(s *SAML) { s.Metadata = next.URL })
	if m, err := s.peer(t.Context()); err != nil || m.EntityID != "urn:next" {
		t.Errorf("got %+v, %v", m, err)
	}
}

// Metadata that was good only until now is not used any longer: logins are
// refused, and the first good document ends that.
func TestMetadataExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{until: "2026-03-01T13:00:00Z"}, nil)
	r.peer()
	r.reg.Forward(time.Hour)
	r.peer()
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r.reg.Forward(time.Second)
	if err := r.s.Health(); err == nil || !strings.Contains(err.Error(), "valid until 2026-03-01T13:00:00Z") {
		t.Errorf("health = %v", err)
	}
	_, err := r.s.peer(t.Context())
	if flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("expired metadata: %v", err)
	}
	r.place.set(description{until: "2026-04-01T00:00:00Z"}.String())
	r.reg.Forward(2 * time.Second)
	r.peer()
}

// A provider that is down does not stop the start; the first good answer is all
// that a login needs, and what an earlier run knew is used at once (B19).
func TestB19MetadataDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	_, err := r.s.peer(t.Context())
	if flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Fatalf("no metadata: %v", err)
	}
	before := r.place.count()
	for range 50 { // a crowd does not become a crowd of fetches
		_, _ = r.s.peer(t.Context())
	}
	if n := r.place.count() - before; n != 0 {
		t.Errorf("%d fetches for a crowd within a second", n)
	}
	r.place.set(description{}.String())
	r.reg.Forward(2 * time.Second)
	r.peer()
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if m, err := r.guest(func(s *SAML) { s.EntityID = "urn:restarted" }).peer(t.Context()); err != nil || m.EntityID != idpEntity {
		t.Errorf("after a restart: %+v, %v", m, err)
	}
	r.reg.VaultOf("saml").SetDown(true)
	_, err = r.guest(func(s *SAML) { s.EntityID = "urn:no-store" }).peer(t.Context())
	if flows.ReasonOf(err) != flows.ReasonStoreDown {
		t.Errorf("with the store down: %v", err)
	}
	r.peer() // who knows the provider already goes on
}

// A file is read again when it changes, by the next login.
func TestMetadataFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	file := filepath.Join(t.TempDir(), "idp.xml")
	write := func(d description) {
		t.Helper()
		if err := os.WriteFile(file, []byte(d.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		r.reg.Forward(2 * time.Second)
	}
	s := r.guest(func(s *SAML) { s.Metadata = file })
	if _, err := s.peer(t.Context()); flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("a missing file: %v", err)
	}
	write(description{})
	if m, err := s.peer(t.Context()); err != nil || m.WantSigned {
		t.Fatalf("%+v, %v", m, err)
	}
	write(description{attributes: `WantAuthnRequestsSigned="1"`})
	if m, err := s.peer(t.Context()); err != nil || !m.WantSigned {
		t.Errorf("the change is not seen: %+v, %v", m, err)
	}
	write(description{sso: []endpoint{}})
	if m, err := s.peer(t.Context()); err != nil || !m.WantSigned {
		t.Errorf("a broken file replaced the good one: %+v, %v", m, err)
	}
	if s.Health() == nil || s.src.untilStale() > 0 {
		t.Errorf("a broken file is healthy: %v", s.Health())
	}
	dir := r.guest(func(s *SAML) { s.Metadata = t.TempDir() })
	if err := dir.src.discover(t.Context()); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a folder: %v", err)
	}
}

// cacheDuration and validUntil say when to look again, within bounds.
func TestMetadataAge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		d    description
		want time.Duration
	}{
		{"nothing", description{}, time.Hour},
		{"cache", description{cache: "PT6H"}, 6 * time.Hour},
		{"short cache", description{cache: "PT1S"}, time.Minute},
		{"long cache", description{cache: "P30D"}, 24 * time.Hour},
		{"unreadable cache", description{cache: "often"}, time.Hour},
		{"ends soon", description{until: "2026-03-01T12:30:00Z"}, 15 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.d, nil)
			r.peer()
			if got := r.s.src.untilStale(); got != tc.want {
				t.Errorf("looks again after %s, want %s", got, tc.want)
			}
			r.reg.Forward(tc.want)
			if got := r.s.src.untilStale(); got != 0 {
				t.Errorf("still fresh for %s", got)
			}
		})
	}
}

// A key we do not know is looked for at most once a minute.
func TestMetadataAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	old := r.peer()
	r.place.set(description{certs: []*x509.Certificate{testKeys()[1].cert}}.String())
	if m := r.s.again(t.Context(), old); m != nil {
		t.Error("asked again within a minute")
	}
	r.reg.Forward(time.Minute)
	m := r.s.again(t.Context(), old)
	if m == nil || !m.Certs[0].Equal(testKeys()[1].cert) {
		t.Fatalf("got %+v", m)
	}
	before := r.place.count()
	for range 20 {
		if r.s.again(t.Context(), m) != nil {
			t.Fatal("nothing is newer")
		}
	}
	if n := r.place.count() - before; n != 0 {
		t.Errorf("%d fetches", n)
	}
	r.reg.Forward(time.Minute)
	if r.s.again(t.Context(), m) != nil || r.place.count() != before+1 || r.peer() != m {
		t.Error("a document that says the same is taken for a newer one")
	}
	if r.s.again(t.Context(), old) != m {
		t.Error("who holds the old one is not given the newer one")
	}
}

// Loading a configuration asks nobody, writes nothing and makes no key (I17).
func TestI17LoadingAsksNobody(t *testing.T) {
	t.Parallel()
	p := newPlace(t, description{})
	reg := flowstest.NewRegistry()
	s := &SAML{Metadata: p.URL + "/metadata"}
	provision(t, s)
	if err := s.Bind(reg); err != nil {
		t.Fatal(err)
	}
	if p.count() != 0 || reg.VaultOf("saml").Writes() != 0 {
		t.Errorf("asked %d times, wrote %d times", p.count(), reg.VaultOf("saml").Writes())
	}
}
