//go:build real

package api_test

import (
	_ "embed"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

// program is a client without a browser.
type program struct {
	t   *testing.T
	url string
}

// wants sends one request and compares status and what the answer and its challenge say.
func (p program) wants(path, auth string, status int, texts ...string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	res, err := http.DefaultTransport.RoundTrip(r) // follows nothing
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	all := strings.Join(res.Header.Values("WWW-Authenticate"), "\n") + "\n" + string(b)
	if res.StatusCode != status || res.Header["Set-Cookie"] != nil || strings.Contains(all, "Authorization:") {
		p.t.Errorf("%s: got %d, want %d, cookies %v\n%s", path, res.StatusCode, status, res.Header["Set-Cookie"], all)
	}
	for _, s := range texts {
		if !strings.Contains(all, s) {
			p.t.Errorf("%s: no %q in\n%s", path, s, all)
		}
	}
}

// TestB29ProgramsOfARealProvider: signed tokens of a certified provider, opaque ones
// that it is asked about, a password, and the people beside them.
func TestB29ProgramsOfARealProvider(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("reportspw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	port := parts.Port(t)
	op := parts.OIDCForPrograms(t, parts.Port(t), "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g := parts.GatewayAt(t, port, caddyfile, "APP="+parts.Echo(t), "ISSUER="+op.Issuer, "CLIENT_ID="+op.Client, "CLIENT_SECRET="+op.Secret,
		"INTROSPECT="+op.Local+"/token/introspection", "REPORTS_HASH="+string(hash))
	p := program{t, g.URL}

	reader, admin, opaque := op.Token(t, "urn:payroll", "payroll.read"), op.Token(t, "urn:payroll", "payroll.admin payroll.read"), op.Token(t, "", "")
	if strings.Count(reader, ".") != 2 || strings.Contains(opaque, ".") {
		t.Fatalf("the provider's tokens are %q and %q", reader, opaque)
	}
	p.wants("/", "", http.StatusUnauthorized, "Bearer realm=", "Basic realm=", "login_url")
	p.wants("/", "Bearer "+reader, http.StatusOK, "X-User: robot", "X-Provider: machines")
	p.wants("/admin/x", "Bearer "+reader, http.StatusForbidden, "not_allowed")
	p.wants("/admin/x", "Bearer "+admin, http.StatusOK, "GET /admin/x")
	p.wants("/", "Bearer "+reader[:len(reader)-4]+"AAAA", http.StatusUnauthorized, `error="invalid_token"`)
	p.wants("/", "Bearer "+opaque, http.StatusUnauthorized, `error="invalid_token"`)

	for range 3 {
		p.wants("/hooks/1", "Bearer "+opaque, http.StatusOK, "X-User: robot")
	}
	p.wants("/hooks/1", "Bearer made-up", http.StatusUnauthorized, `error="invalid_token"`)
	p.wants("/hooks/1", "", http.StatusUnauthorized, "Bearer realm=")
	revoked := op.Token(t, "", "")
	op.Revoke(t, revoked)
	p.wants("/hooks/1", "Bearer "+revoked, http.StatusUnauthorized, `error="invalid_token"`)

	basic := func(name, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(name, password)
		return r.Header.Get("Authorization")
	}
	p.wants("/", basic("reports", "reportspw"), http.StatusOK, "X-User: reports", "X-Provider: corp")
	p.wants("/", basic("reports", "wrong"), http.StatusUnauthorized, "Basic realm=", "bad_credentials")
	p.wants("/admin/x", basic("reports", "reportspw"), http.StatusForbidden, "not_allowed")

	b := parts.Browser(t)
	b.Open(g.URL+"/x").Fill("username", "alice", "password", "alicepw").Want(http.StatusOK, "GET /x", "X-User: alice", "X-Provider: company")

	op.Stop()
	p.wants("/", "Bearer "+reader, http.StatusOK, "X-User: robot") // nobody has to be asked
	p.wants("/hooks/1", "Bearer "+opaque+"x", http.StatusServiceUnavailable, "provider_unavailable")
}
