package parts

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SAMLProvider is Debian's SimpleSAMLphp as an identity provider on PHP's own web
// server. Its people are alice (alicepw; groups admins, staff) and bob (bobpw;
// group staff). AuthnRequests and logout messages must be signed; its answers
// are, too, and the assertions in them are encrypted.
type SAMLProvider struct {
	*Process
	// URL is http://127.0.0.1:PORT, or what the world calls it, without a slash at
	// the end.
	URL string
	// Entity is what it calls itself.
	Entity string
}

// SAMLMetadata is where a [SimpleSAML] on this port has its metadata: the
// gateway may be told before that one runs.
func SAMLMetadata(port int) string { return "http://" + Addr(port) + "/saml2/idp/metadata.php" }

// SAMLLogout is where the provider begins a logout of all its service providers
// and then goes on to an address of its own.
func (p *SAMLProvider) SAMLLogout() string {
	return p.URL + "/saml2/idp/initSLO.php?RelayState=" + p.URL + "/logout.php"
}

// SimpleSAML starts one on a port that the caller chose by [Port]; it knows the
// service providers whose metadata it is given: addresses that can be read now.
func SimpleSAML(t testing.TB, port int, services ...string) *SAMLProvider {
	t.Helper()
	return SimpleSAMLBehind(t, "http://"+Addr(port), port, services...)
}

// SimpleSAMLBehind is SimpleSAML that the world knows by another address: something
// in front of it takes the requests for that and sends them on to the port.
func SimpleSAMLBehind(t testing.TB, address string, port int, services ...string) *SAMLProvider {
	t.Helper()
	index := Need(t, "simplesamlphp")
	php := Need(t, "php")
	dir := t.TempDir()
	p := &SAMLProvider{URL: address}
	p.Entity = p.URL + "/idp"
	for _, d := range []string{"cert", "metadata", "sessions", "log", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeKeyPair(t, dir)
	sources := fmt.Sprintf("['type' => 'flatfile', 'directory' => '%s/metadata']", dir)
	for i, address := range services {
		name := writeFile(t, dir, fmt.Sprintf("metadata/service-%d.xml", i), fetch(t, address))
		sources += fmt.Sprintf(", ['type' => 'xml', 'file' => '%s']", name)
	}
	writeFile(t, dir, "config.php", strings.NewReplacer("URL", p.URL, "DIR", dir, "SOURCES", sources).Replace(simpleSAMLConfig))
	writeFile(t, dir, "authsources.php", simpleSAMLPeople)
	writeFile(t, dir, "metadata/saml20-idp-hosted.php", strings.ReplaceAll(simpleSAMLHosted, "ENTITY", p.Entity))
	cmd := exec.Command(php, "-d", "error_reporting=0", "-d", "display_errors=0", "-S", Addr(port), "-t", filepath.Dir(index))
	// A page of it may be asked for while another one waits.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SIMPLESAMLPHP_CONFIG_DIR=" + dir, "PHP_CLI_SERVER_WORKERS=3"}
	p.Process = Start(t, "simplesamlphp", cmd)
	p.AwaitHTTP(SAMLMetadata(port), 30*time.Second)
	return p
}

const simpleSAMLConfig = `<?php
$config = [
	'baseurlpath' => 'URL/', 'certdir' => 'DIR/cert/', 'loggingdir' => 'DIR/log/', 'datadir' => 'DIR/tmp/', 'tempdir' => 'DIR/tmp',
	'metadatadir' => 'DIR/metadata', 'metadata.sources' => [SOURCES],
	'secretsalt' => 'salt of a test', 'auth.adminpassword' => 'adminpw', 'timezone' => 'UTC', 'language.default' => 'en',
	'technicalcontact_email' => 'nobody@example.test',
	'enable.saml20-idp' => true, 'module.enable' => ['core' => true, 'saml' => true, 'exampleauth' => true],
	'store.type' => 'phpsession', 'session.phpsession.savepath' => 'DIR/sessions', 'session.phpsession.cookiename' => 'SimpleSAML',
	'session.cookie.secure' => false, 'logging.handler' => 'errorlog',
];
`

const simpleSAMLPeople = `<?php
$config = ['people' => ['exampleauth:UserPass',
	'alice:alicepw' => ['uid' => ['alice'], 'mail' => ['alice@example.test'], 'displayName' => ['Alice Liddell'], 'groups' => ['admins', 'staff'], 'department' => ['finance']],
	'bob:bobpw' => ['uid' => ['bob'], 'mail' => ['bob@example.test'], 'displayName' => ['Bob Builder'], 'groups' => ['staff']],
]];
`

const simpleSAMLHosted = `<?php
$metadata['ENTITY'] = [
	'host' => '__DEFAULT__', 'privatekey' => 'idp.key', 'certificate' => 'idp.crt', 'auth' => 'people',
	'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
	'authproc' => [3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']],
	'SingleLogoutServiceBinding' => ['urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST'],
	'validate.authnrequest' => true, 'redirect.validate' => true, 'validate.logout' => true, 'sign.logout' => true,
	'saml20.sign.response' => true, 'saml20.sign.assertion' => true, 'assertion.encryption' => true,
];
`

// writeKeyPair makes the provider's key and certificate.
func writeKeyPair(t testing.TB, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "identity provider of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "cert/idp.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	writeFile(t, dir, "cert/idp.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
}

// fetch reads a document that must be there.
func fetch(t testing.TB, address string) string {
	t.Helper()
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", address, res.Status, err, text)
	}
	return string(text)
}

// Carry submits forms that post themselves between a SAML provider and the
// gateway, as a browser with scripts does, until a page is for people.
func (p *TestPage) Carry() *TestPage {
	p.b.t.Helper()
	for range 10 {
		var next *TestPage
		for _, f := range p.Forms() {
			if f.Fields.Has("SAMLResponse") || f.Fields.Has("SAMLRequest") {
				page, err := f.Submit()
				next = p.b.page(page, err)
			}
		}
		if next == nil {
			return p
		}
		p = next
	}
	p.b.t.Fatalf("%s: messages without an end", p.URL)
	return nil
}
