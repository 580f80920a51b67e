package parts

import (
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oidcProviderVersion is what .ci/parts.sh installs.
const oidcProviderVersion = "9.13.3"

//go:embed oidc-provider.mjs
var oidcProviderScript []byte

// OIDCProvider is a certified OpenID provider (npm oidc-provider) in memory.
// Its people are alice (alicepw; groups admins, staff; mail verified) and bob
// (bobpw; group staff; mail not verified); its client is gw with the secret
// gw-secret.
type OIDCProvider struct {
	*Process
	Issuer string
	// Local is where it listens: the issuer, unless others stand in front.
	Local string
	// Client and Secret are registered for the redirect URIs.
	Client, Secret string
}

// OIDC starts one provider with this name for these redirect URIs; the origins
// of the redirect URIs may be returned to after logout at /.identity/logout.
func OIDC(t testing.TB, name string, redirects ...string) *OIDCProvider {
	t.Helper()
	return OIDCAt(t, Port(t), name, redirects...)
}

// OIDCAt is OIDC on a port that the caller chose by [Port].
func OIDCAt(t testing.TB, port int, name string, redirects ...string) *OIDCProvider {
	t.Helper()
	return oidc(t, port, name, redirects)
}

// OIDCRefreshing is OIDC with access tokens of so many seconds and refresh tokens
// that rotate: one that is used twice ends the whole grant.
func OIDCRefreshing(t testing.TB, name string, seconds int, redirects ...string) *OIDCProvider {
	t.Helper()
	return oidc(t, Port(t), name, redirects, "ACCESS_SECONDS="+strconv.Itoa(seconds))
}

// OIDCStrong is OIDCAt, where people have proved a second factor there, as the
// provider says (amr).
func OIDCStrong(t testing.TB, port int, name string, redirects ...string) *OIDCProvider {
	t.Helper()
	return oidc(t, port, name, redirects, "AMR=pwd mfa")
}

// OIDCContexts is OIDCAt that knows these authentication contexts (acr) and none but
// these: a login gets what was asked for, if it is one of them, else the first. With
// none it says nothing.
func OIDCContexts(t testing.TB, port int, name string, contexts []string, redirects ...string) *OIDCProvider {
	t.Helper()
	return oidc(t, port, name, redirects, "ACRS="+strings.Join(contexts, " "))
}

// OIDCForPrograms is OIDCAt, where the program robot gets access tokens, too.
func OIDCForPrograms(t testing.TB, port int, name string, redirects ...string) *OIDCProvider {
	t.Helper()
	return oidc(t, port, name, redirects, "API=yes")
}

// Token is an access token of robot: a signed one for the resource urn:payroll, an opaque
// one for another or none. The provider was started by [OIDCForPrograms].
func (op *OIDCProvider) Token(t testing.TB, resource, scope string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	if resource != "" {
		form.Set("resource", resource)
		form.Set("scope", scope)
	}
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(op.asRobot(t, "/token", form), &got); err != nil || got.Token == "" {
		t.Fatalf("no token for %q: %v", resource, err)
	}
	return got.Token
}

// Revoke takes a token of robot back (RFC 7009).
func (op *OIDCProvider) Revoke(t testing.TB, token string) {
	t.Helper()
	op.asRobot(t, "/token/revocation", url.Values{"token": {token}})
}

func (op *OIDCProvider) asRobot(t testing.TB, path string, form url.Values) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, op.Local+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("robot", "robot-secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", path, res.Status, b, err)
	}
	return b
}

// OIDCBehind is OIDC that the world knows as issuer: something in front of it takes
// the requests for that and sends them on to Local.
func OIDCBehind(t testing.TB, issuer, name string, redirects ...string) *OIDCProvider {
	t.Helper()
	op := oidc(t, Port(t), name, redirects, "ISSUER="+issuer)
	op.Issuer = issuer
	return op
}

// Move puts somebody into other groups, where the provider was started by [OIDCRefreshing].
func (op *OIDCProvider) Move(t testing.TB, who string, groups ...string) {
	t.Helper()
	res, err := http.PostForm(op.Issuer+"/people/"+who, url.Values{"groups": groups})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("moving %s: %s", who, res.Status)
	}
}

func oidc(t testing.TB, port int, name string, redirects []string, more ...string) *OIDCProvider {
	t.Helper()
	node := Need(t, "node")
	modules := filepath.Dir(filepath.Dir(filepath.Dir(Need(t, "oidc-provider"))))
	// The script stands beside node_modules, because that is where node looks for imports.
	dir := filepath.Join(modules, "run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script, err := os.CreateTemp(dir, "op-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(script.Name()) })
	if _, err := script.Write(oidcProviderScript); err != nil {
		t.Fatal(err)
	}
	if err := script.Close(); err != nil {
		t.Fatal(err)
	}
	op := &OIDCProvider{Issuer: "http://" + Addr(port), Local: "http://" + Addr(port), Client: "gw", Secret: "gw-secret"}
	cmd := exec.Command(node, script.Name())
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NODE_NO_WARNINGS=1",
		"LISTEN=" + Addr(port), "ISSUER=" + op.Issuer, "NAME=" + name,
		"REDIRECTS=" + strings.Join(redirects, " "),
	}
	cmd.Env = append(cmd.Env, more...)
	op.Process = Start(t, "oidc-provider-"+name, cmd)
	op.AwaitHTTP(op.Local+"/.well-known/openid-configuration", 30*time.Second)
	return op
}
