package caddyfile_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// FuzzIdentity puts any text into the global option: the adapter answers a
// config or an error, and never panics.
func FuzzIdentity(f *testing.F) {
	seed(f, "identity {\n", "\n}\n", func(inside string) { f.Add(inside) })
	f.Fuzz(func(t *testing.T, inside string) {
		adaptAny("{\n\tidentity {\n" + inside + "\n\t}\n}\n:80 {\n\tprotect\n}\n")
	})
}

// FuzzProtect puts any text into the directive and behind it.
func FuzzProtect(f *testing.F) {
	seed(f, "protect ", "\trespond", func(inside string) {
		head, body, _ := strings.Cut(inside, "{\n")
		f.Add(head, body)
	})
	seed(f, "protect {\n", "\trespond", func(inside string) { f.Add("", inside) })
	f.Fuzz(func(t *testing.T, head, body string) {
		adaptAny("{\n\tidentity {\n\t\tprovider p local\n\t\tpolicy admins `true`\n\t\tflow default {\n\t\t\tlogin\n\t\t}\n\t}\n}\n" +
			":80 {\n\t@m path /m/*\n\tprotect " + head + " {\n" + body + "\n\t}\n}\n")
	})
}

// seed takes what stands between two marks out of every golden.
func seed(f *testing.F, begin, end string, add func(string)) {
	f.Helper()
	for _, g := range goldens(f) {
		if _, inside, ok := strings.Cut(g.input, begin); ok {
			inside, _, _ = strings.Cut(inside, end)
			add(inside)
		}
	}
}

func adaptAny(text string) {
	if strings.Contains(text, "import") {
		return // would read files of this machine, which is Caddy's business
	}
	_, _, _ = caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
}
