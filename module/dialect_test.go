package module_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// ivHeaders are the lines of the application's answer that begin with iv-, whoever wrote them.
func ivHeaders(body string) (lines []string) {
	for _, l := range strings.Split(body, "\n") {
		name, _, ok := strings.Cut(l, ":")
		if ok && strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "iv-") {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	slices.Sort(lines)
	return lines
}

// An old system that named nobody goes on doing so, where the application is not
// told who is there; what a client says of itself never arrives (B11).
func TestB11AnonymousHeaders(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders webseal\npublic /public/*\noptional /optional/*\n}\nreverse_proxy {APP}")
	alice := g.signedIn("/a", "alice", "alicepw")
	for _, c := range []struct {
		name, path string
		b          *browser.Browser
		want       []string
	}{
		{"public, nobody", "/public/x", newBrowser(t), []string{"iv-user: Unauthenticated"}},
		{"optional, nobody", "/optional/x", newBrowser(t), []string{"iv-user: Unauthenticated"}},
		{"public shows nobody to the application", "/public/x", alice, []string{"iv-user: Unauthenticated"}},
		{"optional, signed in", "/optional/x", alice, []string{`iv-groups: "admins","staff"`, "iv-user: alice"}},
		{"protected, signed in", "/a", alice, []string{`iv-groups: "admins","staff"`, "iv-user: alice"}},
	} {
		p, err := c.b.Send(browser.Request{Method: http.MethodGet, URL: g.url(c.path), Header: http.Header{
			"iv-user": {"evil"}, "Iv-Groups": {`"admins"`}, "IV-CREDS": {"evil"}, "Iv-User-L": {"cn=evil"}, "Accept": {"text/html"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, p, http.StatusOK)
		if got := ivHeaders(p.Body); !slices.Equal(got, c.want) {
			t.Errorf("%s: the application saw %q, want %q", c.name, got, c.want)
		}
	}
	// Others say nothing of nobody, and neither does this one when told so.
	for _, line := range []string{"headers siteminder", "headers webseal {\nanonymous off\n}", "headers webseal\nheader iv-user {user.email}"} {
		if err := g.load(people(t), "protect {\n"+line+"\npublic /public/*\n}\nreverse_proxy {APP}"); err != nil {
			t.Fatal(err)
		}
		p := g.open(newBrowser(t), g.url("/public/x"))
		if got := ivHeaders(p.Body); len(got) != 0 || len(header(p.Body, "SM_USER")) != 0 {
			t.Errorf("%s: nobody is %q", line, got)
		}
	}
}

// An operator's own dialect, from the Caddyfile to the application.
func TestOwnDialect(t *testing.T) {
	g := start(t, people(t)+"dialect corp webseal {\nheader X-Corp-User {user.name}\nheader iv-user {user.name} {\nencode base64\n}\ngroups X-Corp-Groups\nstrip X-Corp-*\n}\n",
		"protect {\nheaders corp\npublic /public/*\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	p, err := b.Send(browser.Request{Method: http.MethodGet, URL: g.url("/a"), Header: http.Header{
		"X-Corp-User": {"evil"}, "X_corp_admin": {"evil"}, "X-Corp-Admin": {"evil"}, "Iv-User": {"evil"}, "Accept": {"text/html"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, http.StatusOK)
	for name, value := range map[string]string{"iv-user": "YWxpY2U=", "iv-groups": `"admins","staff"`, "X-Corp-User": "alice", "X-Corp-Groups": `"admins","staff"`} {
		if got := header(p.Body, name); !slices.Equal(got, []string{value}) {
			t.Errorf("%s: %q, want %q in\n%s", name, got, value, p.Body)
		}
	}
	if strings.Contains(p.Body, "evil") {
		t.Errorf("a client's header arrived:\n%s", p.Body)
	}
	if got := ivHeaders(g.open(newBrowser(t), g.url("/public/x")).Body); !slices.Equal(got, []string{"iv-user: Unauthenticated"}) {
		t.Errorf("nobody is %q", got)
	}
}

// TestOwnDialectErrors: what only JSON can have wrong.
func TestOwnDialectErrors(t *testing.T) {
	g := &gateway{t: t, port: freePort(t), dir: scratch(t), app: newEcho(t)}
	g.audit = filepath.Join(g.dir, "audit.jsonl")
	plain, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people(t), "protect {\nheaders remote_user\n}\nrespond ok")), nil)
	if err != nil {
		t.Fatal(err)
	}
	preset := regexp.MustCompile(`"dialect":\{"name":"remote_user"\}`)
	for _, c := range []struct{ dialects, headers, want string }{
		{`{"Corp":{"groups":"X-G"}}`, `"own":"Corp"`, "must match [a-z0-9_-]+"},
		{`{"siteminder":{"groups":"X-G"}}`, `"own":"siteminder"`, "that is a preset"},
		{`{"corp":null}`, `"own":"corp"`, "it is empty"},
		{`{"corp":{"base":"nosuch"}}`, `"own":"corp"`, "no preset is called 'nosuch'; there are: "},
		{`{"corp":{"base":"okta_ag"}}`, `"own":"corp"`, "it sends nothing"},
		{`{"corp":{"groups":"X-G"}}`, `"own":"crop"`, "no dialect is called 'crop'; there are: corp"},
		{`{}`, `"dialect":{"name":"openam"}`, "sends nothing"},
		{`{"corp":{"groups":"X-G"}}`, `"own":"corp"`, ""},
	} {
		config := preset.ReplaceAllLiteralString(string(plain), c.headers)
		config = strings.Replace(config, `"identity":{`, `"identity":{"dialects":`+c.dialects+`,`, 1)
		var cfg caddy.Config
		if err := json.Unmarshal([]byte(config), &cfg); err != nil {
			t.Fatal(err)
		}
		err := caddy.Validate(&cfg)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, headers %s: error %v, want %q", c.dialects, c.headers, err, c.want)
		}
	}
}
