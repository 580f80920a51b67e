package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestPrivateKeyJWT: the provider itself verifies the assertion (RFC 7523).
func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]crypto.Signer{
		"RS256": must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)),
		"ES256": must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ES384": must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"EdDSA": func() crypto.Signer { _, k, _ := ed25519.GenerateKey(rand.Reader); return k }(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(file, []byte(pemOf(t, key)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, written := range []string{file, "{file." + file + "}"} {
				r := newRig(t, func(p *Provider) {
					offline(p)
					p.ClientSecret, p.ClientKey, p.ClientKeyID = "", written, "k1"
				})
				r.op.SetClientKey(key.Public())
				p := r.mustLogin()
				if _, err := r.p.Refresh(t.Context(), p.Tokens); err != nil {
					t.Errorf("refresh: %v", err)
				}
				forms := r.op.TokenRequests()
				if len(forms) != 2 || forms[0].Get("client_assertion") == forms[1].Get("client_assertion") {
					t.Errorf("%d token requests, or one assertion twice", len(forms))
				}
				if forms[0].Has("client_secret") || forms[0].Get("client_id") != "gateway" {
					t.Error("client_secret is sent, or client_id is not")
				}
			}
		})
	}
	t.Run("other-key", func(t *testing.T) {
		t.Parallel()
		pub, _, _ := ed25519.GenerateKey(rand.Reader)
		_, key, _ := ed25519.GenerateKey(rand.Reader)
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, []byte(pemOf(t, key)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, func(p *Provider) { p.ClientSecret, p.ClientKey = "", file })
		r.op.SetClientKey(pub)
		_, err := r.login(start())
		wantRefusal(t, err, flows.ReasonProviderError)
	})
}

func TestClientKeys(t *testing.T) {
	t.Parallel()
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	sec1 := must[[]byte](t)(x509.MarshalECPrivateKey(ec))
	cert := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for _, tc := range []struct{ name, pem, want, alg string }{
		{"sec1", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), "", "ES512"},
		{"certificate-first", cert + pemOf(t, ec), "", "ES512"},
		{"weak-rsa", pemOf(t, weak), "1024 bits", ""},
		{"p224", pemOf(t, p224), "not supported", ""},
		{"certificate-only", cert, "no PEM private key", ""},
		{"empty", "", "no PEM private key", ""},
		{"malformed", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", "malformed private key", ""},
		{"encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n", "not supported", ""},
	} {
		_, alg, err := parseKey([]byte(tc.pem))
		if alg != tc.alg || (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %q, %v; want %q %q", tc.name, alg, err, tc.alg, tc.want)
		}
	}
}

// passing writes down what goes out through the client the registry lends.
type passing struct {
	next  http.RoundTripper
	mu    sync.Mutex
	paths []string
}

func (p *passing) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.paths = append(p.paths, r.URL.Path)
	p.mu.Unlock()
	return p.next.RoundTrip(r)
}

// TestI3AllGoesOutThroughTheGuard: no request takes another client than the one
// with limits, checked addresses and no redirects to other hosts.
func TestI3AllGoesOutThroughTheGuard(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *Provider) { offline(p); p.UserInfo = &yes })
	client := *r.reg.Client
	out := &passing{next: client.Transport}
	client.Transport = out
	r.reg.Client = &client
	if err := r.p.Bind(r.reg); err != nil {
		t.Fatal(err)
	}
	if _, err := r.p.Refresh(t.Context(), r.mustLogin().Tokens); err != nil {
		t.Fatal(err)
	}
	came := map[string]int{}
	for _, c := range r.op.Calls() {
		came[c.Path]++
	}
	delete(came, "/authorize") // the browser's
	went := map[string]int{}
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, path := range out.paths {
		went[path]++
	}
	if !maps.Equal(came, went) || came["/token"] != 2 || came["/userinfo"] != 2 {
		t.Errorf("the provider was asked %v, through the client went %v", came, went)
	}
}

// TestTokenAuth: basic is preferred, post where only that is offered, and the
// secret is sent in one place.
func TestTokenAuth(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, configured string
		offered          []string
		ok, basic        bool
	}{
		{"auto-both", "", []string{"client_secret_post", "client_secret_basic"}, true, true},
		{"auto-basic", "auto", []string{"client_secret_basic"}, true, true},
		{"auto-post", "auto", []string{"client_secret_post"}, true, false},
		{"basic", "basic", []string{"client_secret_basic", "client_secret_post"}, true, true},
		{"post", "post", []string{"client_secret_basic", "client_secret_post"}, true, false},
		{"basic-not-offered", "basic", []string{"client_secret_post"}, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *Provider) { p.TokenAuth = tc.configured })
			r.op.SetTokenAuth(tc.offered...)
			_, err := r.login(start())
			if tc.ok != (err == nil) {
				t.Fatalf("login: %v", err)
			}
			if !tc.ok {
				wantRefusal(t, err, flows.ReasonProviderError)
			}
			forms := r.op.TokenRequests()
			if len(forms) != 1 || forms[0].Has("client_secret") == tc.basic {
				t.Errorf("%d requests; secret in the form: %v", len(forms), forms[0].Has("client_secret"))
			}
		})
	}
}

// TestP15NoSecretsInErrors: whatever goes wrong, no error quotes a code, a token
// or the secret. (Errors are what is logged.)
func TestP15NoSecretsInErrors(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wrong-aud", "bad-signature", "token-500", "token-html", "made-up-code", "opaque-id-token", "bad-nonce", "wrong-at-hash", "jws-json", "jwks-html", "token-redirect"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.op.SetMode(mode)
			to, private := r.begin(start())
			back := r.visit(to)
			_, err := r.p.Finish(t.Context(), back, private)
			if err == nil {
				t.Fatal("accepted")
			}
			form := r.op.TokenRequests()[0]
			for name, s := range map[string]string{
				"code": back.Values["code"][0], "verifier": form.Get("code_verifier"), "secret": r.op.ClientSecret, "nonce": query(t, to).Get("nonce"), "token": "eyJ",
			} {
				if strings.Contains(err.Error(), s) {
					t.Errorf("the error quotes the %s: %v", name, err)
				}
			}
		})
	}
}

// TestLiteralSecretsAreNoticed: the warning is for what /config/ would show.
func TestLiteralSecretsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, raw string
		want      bool
	}{
		{"client_secret", "hunter2", true},
		{"client_secret", "{env.X}", false},
		{"client_secret", "{file./run/x}", false},
		{"client_secret", "", false},
		{"client_key", "/run/key.pem", false},
		{"client_key", "-----BEGIN PRIVATE KEY-----", true},
		{"client_key", "{file./run/key}", false},
	} {
		if got := literal(tc.name, tc.raw); got != tc.want {
			t.Errorf("%s %q: %v", tc.name, tc.raw, got)
		}
	}
}
