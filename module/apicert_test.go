package module_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certAuthority signs client certificates.
type certAuthority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t testing.TB, name string) *certAuthority {
	t.Helper()
	a := &certAuthority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	if err := os.WriteFile(a.file(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *certAuthority) file() string { return filepath.Join(a.dir, "ca.pem") }

func (a *certAuthority) sign(c, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.n), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, by = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return made, key
}

// client is a certificate for programs.
func (a *certAuthority) client(c *x509.Certificate) *tls.Certificate {
	a.t.Helper()
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	made, key := a.sign(c, a.cert, a.key)
	return &tls.Certificate{Certificate: [][]byte{made.Raw}, PrivateKey: key}
}

// tlsSite is a site over TLS that asks for client certificates.
func (g *gateway) tlsSite(port int, clientAuth, site string) string {
	dir := filepath.Join(g.dir, "server")
	_ = os.MkdirAll(dir, 0o700)
	cert, key := ownCertificate(g.t, dir)
	return fmt.Sprintf("http://127.0.0.1:{PORT} {\nbind 127.0.0.1\n%s\n}\nhttps://localhost:%d {\nbind 127.0.0.1\ntls %s %s {\nclient_auth {\n%s\n}\n}\n%s\n}\n", site, port, cert, key, clientAuth, site)
}

// overTLS sends one request with a certificate, or none.
func (g *gateway) overTLS(port int, c *tls.Certificate, path string, pairs ...string) *http.Response {
	g.t.Helper()
	conf := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own certificate
	if c != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	}
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	}}
	g.t.Cleanup(tr.CloseIdleConnections)
	r := mustRequest(g.t, fmt.Sprintf("https://localhost:%d%s", port, path))
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { res.Body.Close() })
	if res.Header["Set-Cookie"] != nil {
		g.t.Errorf("a program got cookies: %v", res.Header)
	}
	return res
}

const certSite = "protect {\nheader X-Key {user.key}\nheader X-Groups {user.groups}\nheader X-Fingerprint {user.fingerprint}\nrequire /admin/* `\"ops\" in user.groups`\napi devices\n}\nreverse_proxy {APP}"

// TestB29ClientCertificate: one that the server verified in this connection, of our
// authority, and nothing that a header tells of one.
func TestB29ClientCertificate(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	g := start(t, people(t), plainSite) // for its folder
	port := freePort(t)
	global := people(t) + "provider devices certificate {\nca " + ours.file() + "\ngroups organizational_unit\n}\n"
	trust := "mode verify_if_given\ntrust_pool file " + ours.file() + " " + theirs.file()
	if err := g.load(global, g.tlsSite(port, trust, certSite)); err != nil {
		t.Fatal(err)
	}
	robot := ours.client(&x509.Certificate{Subject: pkix.Name{CommonName: "robot-1", OrganizationalUnit: []string{"ops", "builds"}}})
	r := g.overTLS(port, robot, "/admin/x", "X-Key", "mallory")
	head := body(t, r)
	if r.StatusCode != http.StatusOK || header(head, "X-Key")[0] != "devices:robot-1" || header(head, "X-Groups")[0] != "ops,builds" || len(header(head, "X-Fingerprint")[0]) != 64 {
		t.Fatalf("%d\n%s", r.StatusCode, head)
	}
	refused(t, g.overTLS(port, ours.client(&x509.Certificate{Subject: pkix.Name{CommonName: "robot-2"}}), "/admin/x"), http.StatusForbidden, "not_allowed")
	refused(t, g.overTLS(port, ours.client(&x509.Certificate{DNSNames: []string{"x.example"}}), "/a"), http.StatusForbidden, "name_missing")
	// Of another authority that the site trusts for something else: as good as none.
	if r := g.overTLS(port, theirs.client(&x509.Certificate{Subject: pkix.Name{CommonName: "robot-1"}}), "/a"); r.StatusCode != http.StatusUnauthorized || len(r.Header.Values("WWW-Authenticate")) != 1 {
		t.Errorf("another authority's: %d %v", r.StatusCode, r.Header)
	}
	// A header is no certificate, however it is called.
	escaped := url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: robot.Certificate[0]})))
	for _, name := range []string{"X-Client-Cert", "X-SSL-Client-Cert", "Ssl-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "Client-Cert"} {
		if r := g.overTLS(port, nil, "/a", name, escaped); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
		if r := g.program("GET", "/a", name, escaped); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s in the clear: %d", name, r.StatusCode)
		}
	}
	// What a browser shows by itself is no word of another site's page.
	refused(t, g.overTLS(port, robot, "/a", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), http.StatusForbidden, "cross_site")
}

// TestB29CertificateThatNobodyVerified: where the server takes any certificate without
// looking, none counts.
func TestB29CertificateThatNobodyVerified(t *testing.T) {
	ours := newAuthority(t, "ours")
	g := start(t, people(t), plainSite)
	port := freePort(t)
	if err := g.load(people(t)+"provider devices certificate\n", g.tlsSite(port, "mode request", certSite)); err != nil {
		t.Fatal(err)
	}
	robot := ours.client(&x509.Certificate{Subject: pkix.Name{CommonName: "robot-1"}})
	if r := g.overTLS(port, robot, "/a"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", r.StatusCode)
	}
}

// TestI5CertificateAuthorityMissing: a file that is not there refuses to load.
func TestI5CertificateAuthorityMissing(t *testing.T) {
	g := start(t, people(t), plainSite)
	empty := filepath.Join(g.dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/nowhere/ca.pem": "no such file", empty: "no certificate in it"} {
		err := g.load(people(t)+"provider devices certificate {\nca "+file+"\n}\n", certSite)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
