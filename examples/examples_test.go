package examples_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/sallyport-gateway/sallyport/adapters/idp/kerberos/kerberostest"
	_ "github.com/sallyport-gateway/sallyport/cmd/standard"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/module"
)

var placeholder = regexp.MustCompile(`\{(?:\$|env\.)([A-Z_]+)\}`)

// stands are values that any example can be loaded with; nobody listens there.
func stand(name string) string {
	switch {
	case strings.HasSuffix(name, "_SITE"): // hosts of their own
		return "http://" + strings.ToLower(strings.TrimSuffix(name, "_SITE")) + ".localhost:9"
	case name == "SITE":
		return "http://127.0.0.1:9"
	case strings.HasSuffix(name, "ISSUER"):
		return "http://127.0.0.1:9"
	case strings.HasSuffix(name, "METADATA"):
		return "http://127.0.0.1:9/metadata"
	case strings.HasSuffix(name, "_HASH"):
		return "$2a$04$7Zr2pO2nBGgYH7r5o2Xw4eAPzxJm7xLQG3h1F9iVbWvJxwN7oWb3K"
	case name == "LDAP_BASE":
		return "dc=example,dc=test"
	case name == "INTROSPECT":
		return "http://127.0.0.1:9/introspect"
	case name == "LDAP_URL":
		return "ldap://127.0.0.1:9"
	case name == "LDAP_URL_REPLICA":
		return "ldap://127.0.0.1:8"
	case name == "SMS_URL":
		return "http://127.0.0.1:9/sms"
	case name == "SIGNOFF":
		return "http://127.0.0.1:9/bye"
	case name == "APP" || name == "API" || name == "PORTAL" || name == "PHP":
		return "127.0.0.1:9"
	}
	return "something"
}

// TestExamplesLoad adapts and provisions every example's Caddyfile with nothing
// behind it: loading asks nobody. `make test-real` walks them.
func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("*/Caddyfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Dir(file), func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", t.TempDir())
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := caddyfile.Format(text); !bytes.Equal(got, text) {
				t.Errorf("not as `sallyport fmt` writes it; want:\n%s", got)
			}
			ca, _, _ := parts.Certificate(t)
			for _, m := range placeholder.FindAllSubmatch(text, -1) {
				t.Setenv(string(m[1]), stand(string(m[1])))
				if strings.HasSuffix(string(m[1]), "_CA") {
					t.Setenv(string(m[1]), ca)
				}
				if string(m[1]) == "KEYTAB" {
					t.Setenv("KEYTAB", kerberostest.NewService(t, "HTTP/localhost", "EXAMPLE.COM").Write(t, filepath.Join(t.TempDir(), "keytab")))
				}
			}
			raw, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": file})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			var config caddy.Config
			if err := json.Unmarshal(raw, &config); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&config); err != nil {
				t.Error(err)
			}
			found, err := module.Lint(raw)
			if err != nil {
				t.Error(err)
			}
			for _, f := range found {
				if f.Code == "long_session" && filepath.Dir(file) == "from-oauth2-proxy" {
					continue // a week, as oauth2-proxy has it
				}
				t.Errorf("lint: %s %s %s: %s", f.Severity, f.Code, f.Source, f.What)
			}
		})
	}
}

// TestExamplesAreWhole: each example has a README, a Caddyfile and a test that
// walks it against the real thing.
func TestExamplesAreWhole(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("*/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
			t.Errorf("%s has no README.md", dir)
		}
		tests, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		_, walked := walks[dir]
		for _, name := range tests {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			walked = walked || bytes.Contains(text, []byte("//go:build real\n"))
		}
		if !walked {
			t.Errorf("%s has no walk: neither in walks nor in a test with the build tag real", dir)
		}
	}
}
