package caddyfile_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
)

var update = flag.Bool("update", false, "write what the adapter answers into the goldens")

// The goldens may name these; they stand for what an operator's environment holds.
var goldenEnv = map[string]string{
	"GOLDEN_CLIENT_ID": "gateway",
	"GOLDEN_SECRET":    "a secret of the goldens",
	"GOLDEN_DSN":       "mysql://gateway:secret@db.example.com/crm",
	"GOLDEN_KEY_1":     "0123456789abcdef0123456789abcdef",
	"GOLDEN_KEY_2":     "fedcba9876543210fedcba9876543210",
	"GOLDEN_TENANT":    "5b3f1c1e",
	"GOLDEN_DOMAIN":    "contoso.com",
	"GOLDEN_HASH":      "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
}

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "sallyport-goldens-")
	if err != nil {
		panic(err)
	}
	issuer := httptest.NewServer(http.HandlerFunc(discover))
	os.Setenv("GOLDEN_ISSUER", issuer.URL)
	for k, v := range goldenEnv {
		os.Setenv(k, v)
	}
	os.Setenv("GOLDEN_DIR", dir)
	if err := writeSAML(dir, issuer.URL); err != nil {
		panic(err)
	}
	os.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	code := m.Run()
	issuer.Close()
	os.RemoveAll(dir)
	os.Exit(code)
}

// writeSAML leaves two key pairs of ours and the metadata of a SAML identity
// provider there, which discover serves, too.
func writeSAML(dir, issuer string) error {
	for _, name := range []string{"sp-new", "sp-old"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return err
		}
		for suffix, block := range map[string]*pem.Block{
			".key": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
			".crt": {Type: "CERTIFICATE", Bytes: cert},
		} {
			if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
				return err
			}
		}
		samlMetadata = fmt.Sprintf(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:example:idp">
<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<KeyDescriptor><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="%s/saml/sso"/>
</IDPSSODescriptor></EntityDescriptor>`, base64.StdEncoding.EncodeToString(cert), issuer)
	}
	return os.WriteFile(filepath.Join(dir, "idp.xml"), []byte(samlMetadata), 0o600)
}

// samlMetadata is written before anything asks for it.
var samlMetadata string

// discover answers the documents of an OIDC issuer at any path, and a SAML
// provider's at one: enough for a gateway to send a browser there.
func discover(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/saml/metadata" {
		_, _ = io.WriteString(w, samlMetadata)
		return
	}
	issuer, ok := strings.CutSuffix("http://"+r.Host+r.URL.Path, "/.well-known/openid-configuration")
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		_, _ = io.WriteString(w, `{"keys":[]}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize",
		"token_endpoint": issuer + "/token", "jwks_uri": issuer + "/jwks", "userinfo_endpoint": issuer + "/userinfo",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
	})
}

// golden is a file of three parts: a Caddyfile, a line of dashes, and the JSON
// or the error it adapts to.
type golden struct{ name, input, want string }

const rule = "\n----------\n"

func goldens(t testing.TB) []golden {
	t.Helper()
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d goldens: %v", len(files), err)
	}
	var all []golden
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		input, want, _ := strings.Cut(string(b), rule)
		all = append(all, golden{strings.TrimSuffix(filepath.Base(f), ".caddyfiletest"), input + "\n", want})
	}
	return all
}

// adapt answers the JSON, indented, or the error as a golden has it. Paths of
// this machine are taken out.
func adapt(t testing.TB, input string) (string, bool) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	anonymous := func(s string) string {
		s = strings.ReplaceAll(s, wd+string(filepath.Separator), "")
		s = strings.ReplaceAll(s, os.Getenv("GOLDEN_ISSUER"), "$GOLDEN_ISSUER")
		return strings.ReplaceAll(s, os.Getenv("GOLDEN_DIR"), "$GOLDEN_DIR")
	}
	js, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return anonymous("error: "+err.Error()) + "\n", false
	}
	var b bytes.Buffer
	if err := json.Indent(&b, js, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return anonymous(b.String()) + "\n", true
}

// TestGoldens adapts every golden and compares.
func TestGoldens(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			got, _ := adapt(t, g.input)
			if got == g.want {
				return
			}
			if !*update {
				t.Fatalf("adapts to\n%s\nwant\n%s", got, g.want)
			}
			file := filepath.Join("testdata", g.name+".caddyfiletest")
			text := strings.TrimSuffix(g.input, "\n") + rule + got
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestGoldensAreFormatted shows that `caddy fmt` leaves our blocks alone, also
// those that are refused.
func TestGoldensAreFormatted(t *testing.T) {
	for _, g := range goldens(t) {
		if strings.Contains(g.input, "} else {") {
			continue // what fmt makes of it is the reason it is refused
		}
		if got := string(caddyfile.Format([]byte(g.input))); got != g.input {
			t.Errorf("%s: caddy fmt writes\n%s\nover\n%s", g.name, got, g.input)
		}
	}
}

// TestGoldenErrorsSayWhere shows that every error names file and line.
func TestGoldenErrorsSayWhere(t *testing.T) {
	for _, g := range goldens(t) {
		if strings.HasPrefix(g.want, "error: ") && !strings.Contains(g.want, "Caddyfile:") && !strings.Contains(g.want, "testdata/") {
			t.Errorf("%s does not say where: %s", g.name, g.want)
		}
	}
}
