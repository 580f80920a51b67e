package module_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// The test modules of the OpenID Foundation's conformance suite for relying
// parties (plans Basic, Config, RP-Initiated, Back-Channel and Front-Channel
// Logout), one Go test for each, played against the running gateway. The suite is
// the provider there; here it is oidctest, told to behave as the module does.
// What the suite cannot see — what the application gets — is looked at, too.
var oidfModules = []string{
	// Basic.
	"oidcc-client-test", "oidcc-client-test-invalid-iss", "oidcc-client-test-missing-sub", "oidcc-client-test-invalid-aud",
	"oidcc-client-test-missing-iat", "oidcc-client-test-kid-absent-single-jwks", "oidcc-client-test-kid-absent-multiple-jwks",
	"oidcc-client-test-idtoken-sig-rs256", "oidcc-client-test-idtoken-sig-none", "oidcc-client-test-invalid-sig-rs256",
	"oidcc-client-test-userinfo-invalid-sub", "oidcc-client-test-nonce-invalid", "oidcc-client-test-scope-userinfo-claims",
	"oidcc-client-test-client-secret-basic",
	// Config; it has idtoken-sig-none, too.
	"oidcc-client-test-discovery-openid-config", "oidcc-client-test-discovery-jwks-uri-keys", "oidcc-client-test-discovery-issuer-mismatch",
	"oidcc-client-test-signing-key-rotation-just-before-signing", "oidcc-client-test-signing-key-rotation",
	// RP-Initiated Logout.
	"oidcc-client-test-rp-init-logout", "oidcc-client-test-rp-init-logout-other-state", "oidcc-client-test-rp-init-logout-no-state",
	// Back-Channel Logout.
	"oidcc-client-test-rp-backchannel-rpinitlogout", "oidcc-client-test-rp-backchannel-rpinitlogout-alg-none",
	"oidcc-client-test-rp-backchannel-rpinitlogout-no-event", "oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce",
	"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg", "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud",
	"oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event", "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss",
	// Front-Channel Logout.
	"oidcc-client-test-rp-frontchannel-rpinitlogout", "oidcc-client-test-rp-frontchannel-opinitlogout",
	// In no certification plan.
	"oidcc-client-test-3rd-party-init-login", "oidcc-client-test-form-post-error",
	"oidcc-client-test-refresh-token", "oidcc-client-test-refresh-token-invalid-issuer", "oidcc-client-test-refresh-token-invalid-sub",
}

// goName is the Go test of a module: oidcc-client-test-invalid-iss is TestOIDFClientInvalidIss.
func goName(module string) string {
	var b strings.Builder
	b.WriteString("TestOIDFClient")
	for word := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(module, "oidcc-client-test"), "-"), "-") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

func TestOIDFEveryModuleHasItsTest(t *testing.T) {
	files, err := filepath.Glob("oidf_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{} // Go test → the module its comment names
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^// (\S+) is (oidcc-client-test[a-z0-9-]*):[^\n]*\n(?://[^\n]*\n)*func (TestOIDFClient\w*)\(`).FindAllSubmatch(src, -1) {
			if string(m[1]) == string(m[3]) {
				found[string(m[3])] = string(m[2])
			}
		}
	}
	for _, module := range oidfModules {
		if found[goName(module)] != module {
			t.Errorf("%s: no %s whose comment says so", module, goName(module))
		}
		delete(found, goName(module))
	}
	for name, module := range found {
		t.Errorf("%s plays %s, which is not in the list", name, module)
	}
}

// party is the gateway as a relying party of the suite: client_secret_basic, RS256,
// UserInfo. The suite publishes keys of other algorithms beside the one it signs with.
type party struct {
	*gateway
	t    *testing.T
	op   *oidctest.OP
	read func() string
}

func relyingParty(t *testing.T, more ...string) *party {
	t.Helper()
	return relyingPartyOf(t, suiteOP(t), more...)
}

// suiteOP publishes the suite's keys, or these.
func suiteOP(t *testing.T, keys ...*oidctest.Key) *oidctest.OP {
	t.Helper()
	op := newOP(t)
	if len(keys) == 0 {
		for _, alg := range []string{"RS256", "RS256", "ES256", "ES256", "EdDSA"} {
			keys = append(keys, oidctest.NewKey(alg))
		}
	}
	op.SetKeys(keys...)
	return op
}

func relyingPartyOf(t *testing.T, op *oidctest.OP, more ...string) *party {
	t.Helper()
	g, read := logged(t, asked(t, "op", op, append(more, "userinfo on", "id_token_alg RS256")...), whoSite)
	return &party{g, t, op, read}
}

// toldInLog is the log line that the id of an answer leads to: refusals of who
// proved nothing are not in the trail (I25).
func (rp *party) toldInLog(p *browser.Page) (line string) {
	rp.t.Helper()
	m := regexp.MustCompile(`"id":"([A-Z2-7]{26})"`).FindStringSubmatch(p.Body)
	if m == nil {
		rp.t.Fatalf("no id in %s", p.Body)
	}
	until(rp.t, "the log holds "+m[1], func() bool {
		for l := range strings.Lines(rp.read()) {
			if strings.Contains(l, m[1]) {
				line = l
			}
		}
		return line != ""
	})
	return line
}

// minted makes the OP change the ID token.
func (rp *party) minted(change func(*oidctest.Token)) {
	rp.op.SetBehaviour(oidctest.Mode{Mint: func(_ *oidctest.OP, tok *oidctest.Token) { change(tok) }})
}

// append1 is how the suite spoils a value.
func append1(claim string) func(*oidctest.Token) {
	return func(tok *oidctest.Token) { tok.Claims[claim] = fmt.Sprint(tok.Claims[claim], "1") }
}

// accepts logs a browser in and wants the application to see alice, and UserInfo
// to be asked with the access token in the header, nowhere else (RFC 6750 §2.1).
func (rp *party) accepts() *browser.Browser {
	rp.t.Helper()
	before := rp.op.Counts().UserInfo
	b := newBrowser(rp.t)
	p := rp.open(b, rp.url("/app"))
	landed(rp.t, p, "/app", "op:u-alice")
	if got := header(p.Body, "X-User"); !slices.Equal(got, []string{"alice"}) {
		rp.t.Errorf("X-User: %q", got)
	}
	issued := rp.op.Issued()
	asked := rp.calls("/userinfo")
	if len(asked) != before+1 {
		rp.t.Fatalf("UserInfo was asked %d times, want %d", len(asked), before+1)
	}
	if c := asked[before]; c.Authorization != "Bearer "+issued[len(issued)-1].AccessToken || len(c.Query) != 0 || len(c.Form) != 0 {
		rp.t.Errorf("UserInfo was asked with %+v", c)
	}
	return b
}

// rejects wants a login refused for a reason and a detail: an error page with the
// id of the event, no session, nothing at the application, and UserInfo asked no
// more than so often, which is how the suite tells. Without the change it works.
func (rp *party) rejects(reason flows.Reason, detail string, userInfo int) {
	rp.t.Helper()
	b := newBrowser(rp.t)
	before, denied, seen := rp.op.Counts().UserInfo, rp.count("login_denied"), len(rp.app.requests())
	p := rp.open(b, rp.url("/app"))
	e := rp.lastDenied("login_denied", denied+1)
	if p.Status != http.StatusBadRequest || !p.Has(e["id"].(string)) || e["reason"] != string(reason) || !strings.Contains(fmt.Sprint(e["detail"]), detail) {
		rp.t.Errorf("answered %d; event %v, want %s … %s\n%s", p.Status, e, reason, detail, p.Text())
	}
	if rp.hasTicket(b) || len(rp.app.requests()) != seen {
		rp.t.Errorf("session %v, application asked %v", rp.hasTicket(b), len(rp.app.requests()) != seen)
	}
	if n := rp.op.Counts().UserInfo - before; n != userInfo {
		rp.t.Errorf("UserInfo was asked %d times, want %d", n, userInfo)
	}
	rp.op.SetBehaviour(oidctest.Mode{})
	rp.accepts()
}

// calls are the requests that came to an endpoint, wherever it was moved to.
func (rp *party) calls(path string) []oidctest.Call {
	all := rp.op.Calls()
	return slices.DeleteFunc(all, func(c oidctest.Call) bool { return c.Path != path && !strings.HasPrefix(c.Path, path+"/") })
}
