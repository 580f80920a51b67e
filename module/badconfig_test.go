package module_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// What an operator can get wrong. Every one is refused at reload, with an error
// that leads to it, and the running config goes on (C19).
func TestC19BrokenConfigNamesItsPlace(t *testing.T) {
	g := start(t, people(t), plainSite)
	b := g.signedIn("/a", "alice", "alicepw")
	secret := filepath.Join(g.dir, "secret")
	if err := os.WriteFile(secret, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	notPEM := filepath.Join(g.dir, "key.pem")
	if err := os.WriteFile(notPEM, []byte("-----BEGIN NOTHING-----"), 0o600); err != nil {
		t.Fatal(err)
	}
	idp := func(lines string) string { return "provider idp oidc {\n" + lines + "\n}\n" }
	const whole = "issuer https://idp.example.com\nclient_id us\n"
	hello := func(lines string) string { return "protect {\n" + lines + "\n}\nreverse_proxy {APP}" }
	for name, tc := range map[string]struct {
		global, site string
		// line is the text on the line that must be named; where that is not known any
		// more when it is found out, names are the words that lead there.
		line  string
		names []string
	}{
		"unknown word":               {global: "bogus on\n", line: "bogus on"},
		"unclosed block":             {global: "pages {\ntitle x\n", names: []string{"pages has no word", "Caddyfile:"}},
		"second provider of a name":  {global: "provider corp local {\nuser x y\n}\n", line: "provider corp local {\nuser x"},
		"provider type":              {global: "provider idp oicd {\n}\n", line: "provider idp oicd"},
		"provider option":            {global: idp("isuer https://idp.example.com"), line: "isuer"},
		"provider without issuer":    {global: idp("client_id us\nclient_secret {env.HOME}"), names: []string{"needs an issuer", "Caddyfile:"}},
		"plain http issuer":          {global: idp("issuer http://idp.example.com\nclient_id us\nclient_secret {env.HOME}"), names: []string{"idp", "http://idp.example.com"}},
		"provider without a secret":  {global: idp(whole), names: []string{"client_secret", "Caddyfile:"}},
		"empty secret":               {global: idp(whole + "client_secret \"\""), line: "client_secret \"\"", names: []string{"client_secret", "empty"}},
		"secret from no environment": {global: idp(whole + "client_secret {env.SALLYPORT_NOT_SET}"), names: []string{"idp", "client_secret", "SALLYPORT_NOT_SET"}},
		"secret from no file":        {global: idp(whole + "client_secret {file./nonexistent/s}"), names: []string{"idp", "client_secret", "/nonexistent/s"}},
		"key file missing":           {global: idp(whole + "client_key /nonexistent/k.pem"), names: []string{"idp", "client_key", "/nonexistent/k.pem"}},
		"key file that is no key":    {global: idp(whole + "client_key " + notPEM), names: []string{"idp", "client_key"}},
		"password hash":              {global: "provider more local {\nuser eve not-a-hash\n}\n", names: []string{"more", "eve"}},
		"policy that does not parse": {global: "policy p `user.name ==`\n", line: "policy p"},
		"policy of unknown names":    {global: "policy p `nosuch.thing == 1`\n", line: "policy p"},
		"policy that is no bool":     {global: "policy p `\"text\"`\n", line: "policy p"},
		"unknown step":               {global: "flow f {\nlogn corp\n}\n", line: "logn corp"},
		"step with a typo in a name": {global: "flow f {\nlogin crop\n}\n", line: "login crop"},
		"step option":                {global: "flow f {\nlogin corp {\nprefer corp\n}\n}\n", line: "prefer corp"},
		"condition in a flow":        {global: "flow f {\nlogin corp\nrequire `user.name = 1`\n}\n", line: "require `user.name"},
		"policy nobody wrote":        {global: "flow f {\nlogin corp\nrequire nosuch\n}\n", line: "require nosuch"},
		"flow of two names":          {global: "flow f g {\nlogin corp\n}\n", line: "flow f g", names: []string{"'g'"}},
		"flow that uses itself":      {global: "flow f {\nlogin corp\nuse f\n}\n", names: []string{"f uses itself"}},
		"flow that is not there":     {global: "flow f {\nlogin corp\nuse g\n}\n", line: "use g"},
		"read before it is set":      {global: "flow f {\nrequire `user.department == \"x\"`\nlogin corp\n}\n", line: "require `user.department"},
		"store":                      {global: "store redi\n", line: "store redi"},
		"store option":               {global: "store memory 3\n", line: "store memory 3"},
		"store below a file":         {global: "store file " + secret + "/s.db\n", names: []string{"store file", secret, "not a directory"}},
		"trail below a file":         {global: "audit file " + secret + "/deep/audit.jsonl\n", names: []string{"audit file", secret, "not a directory"}},
		"key too short":              {global: "keys {file." + secret + "}\n", names: []string{"keys: key 1"}},
		"key file not there":         {global: "keys {file./nonexistent/key}\n", names: []string{"keys: key 1", "/nonexistent/key"}},
		"templates not there":        {global: "pages {\ntemplates /nonexistent\n}\n", names: []string{"pages", "/nonexistent"}},
		"logo not there":             {global: "pages {\nlogo /nonexistent.svg\n}\n", names: []string{"pages", "/nonexistent.svg"}},
		"accent":                     {global: "pages {\naccent mauve\n}\n", line: "accent mauve"},
		"audit sink":                 {global: "audit fiel /x\n", line: "audit fiel"},
		"duration":                   {global: "session {\nidle soon\n}\n", line: "idle soon"},
		"cookie name":                {global: "session {\ncookie a;b\n}\n", names: []string{"cookie", "a;b"}},
		"protect names no flow":      {site: "protect nosuch\nreverse_proxy {APP}", names: []string{"nosuch", "Caddyfile:"}},
		"line of protect":            {site: hello("publik /x"), line: "publik /x"},
		"rule that does not parse":   {site: hello("require /x `user.name ==`"), line: "require /x"},
		"rule of unknown names":      {site: hello("require /x `user.nmae. == 1`"), line: "require /x"},
		"rule of no policy":          {site: hello("require /x nosuch"), line: "require /x nosuch"},
		"risk without a risk step":   {site: hello("require /x `risk.score > 1`"), line: "require /x"},
		"unknown matcher":            {site: hello("public @nosuch"), line: "public @nosuch"},
		"dialect":                    {site: hello("headers sitminder"), line: "headers sitminder"},
		"dialect option":             {site: hello("headers siteminder {\nbogus\n}"), line: "bogus"},
		"header name":                {site: hello("header X:Y {user.name}"), line: "header X:Y"},
		"header encoding":            {site: hello("header X-Y {user.name} {\nencode rot13\n}"), line: "encode rot13"},
		"url with a path":            {site: hello("url https://x.example.com/app"), line: "url https"},
		"unauthenticated":            {site: hello("unauthenticated maybe"), line: "unauthenticated maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			global, site := people(t)+tc.global, tc.site
			if site == "" {
				site = plainSite
			}
			err := g.load(global, site)
			if err == nil {
				t.Fatal("it was loaded")
			}
			text := err.Error()
			names := tc.names
			if tc.line != "" {
				names = append(names, "Caddyfile:"+lineOf(t, g.caddyfile(global, site), tc.line))
			}
			for _, n := range names {
				if !strings.Contains(text, n) {
					t.Errorf("the error does not name %q:\n%s", n, text)
				}
			}
			if strings.Contains(text, oidctest.Secret) || len(text) > 1500 {
				t.Errorf("an error of %d bytes:\n%s", len(text), text)
			}
			want(t, g.open(b, g.url("/a")), http.StatusOK)
		})
	}
	good, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(g.caddyfile(people(t), plainSite)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][2]string{
		"no JSON at all":      {string(good[:len(good)/2]), ""},
		"field":               {strings.Replace(string(good), `"providers":`, `"providrs":`, 1), "providrs"},
		"type of a field":     {strings.Replace(string(good), `"headers":[`, `"unauthenticated":7,"headers":[`, 1), "unauthenticated"},
		"guest":               {strings.Replace(string(good), `"type":"local"`, `"type":"locla"`, 1), "identity.providers.locla"},
		"guest without a key": {strings.Replace(string(good), `"type":"local"`, `"tipe":"local"`, 1), "corp"},
		"field of a guest":    {strings.Replace(string(good), `"type":"local"`, `"type":"local","bogus":1`, 1), "bogus"},
	} {
		t.Run("json "+name, func(t *testing.T) {
			if broken[0] == string(good) {
				t.Fatalf("nothing was broken in %s", good)
			}
			if err := caddy.Load([]byte(broken[0]), true); err == nil || !strings.Contains(err.Error(), broken[1]) {
				t.Errorf("want an error that names %q, got %v", broken[1], err)
			}
			want(t, g.open(b, g.url("/a")), http.StatusOK)
		})
	}
}

// lineOf is the number of the line that holds text, the last one of several.
func lineOf(t *testing.T, file, text string) string {
	t.Helper()
	i := strings.LastIndex(file, text)
	if i < 0 {
		t.Fatalf("%q is not in the file", text)
	}
	return fmt.Sprint(strings.Count(file[:i], "\n") + 1)
}
