package headers_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/headers"
	_ "github.com/sallyport-gateway/sallyport/headers/remoteuser"
	_ "github.com/sallyport-gateway/sallyport/headers/siteminder"
	_ "github.com/sallyport-gateway/sallyport/headers/xforwarded"
)

var update = flag.Bool("update", false, "write the golden files anew")

// load makes a dialect from its Caddyfile block, as the front door does.
func load(t *testing.T, block string) (flows.Dialect, string, error) {
	t.Helper()
	d := caddyfile.NewTestDispenser(block)
	name, _, _ := strings.Cut(strings.TrimSpace(block), " ")
	name, _, _ = strings.Cut(name, "\n")
	info, err := caddy.GetModule("identity.headers." + name)
	if err != nil {
		t.Fatal(err)
	}
	m := info.New()
	if err := m.(caddyfile.Unmarshaler).UnmarshalCaddyfile(d); err != nil {
		return nil, "", err
	}
	if d.Next() {
		t.Errorf("%s: %q is left over", name, d.Val())
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	dialect, err := provision(t, info, b)
	return dialect, string(b), err
}

// provision makes it again from the JSON, so that both ways are one.
func provision(t *testing.T, info caddy.ModuleInfo, config []byte) (flows.Dialect, error) {
	t.Helper()
	m := info.New()
	if err := caddy.StrictUnmarshalJSON(config, m); err != nil {
		t.Fatal(err)
	}
	if p, ok := m.(caddy.Provisioner); ok {
		if err := p.Provision(caddy.Context{}); err != nil {
			return nil, err
		}
	}
	return m.(flows.Dialect), m.(caddy.Validator).Validate()
}

func readFacts(t *testing.T, name string) *flows.Facts {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "facts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &flows.Facts{}
	if err := json.Unmarshal(b, f); err != nil {
		t.Fatal(err)
	}
	return f
}

var transaction = regexp.MustCompile(`(?m)^(SM_?TRANSACTIONID: )[0-9a-f]{32}$`)

// lines are what goes out, in the order it is written; Go's quoting shows bytes that
// are no printable ASCII.
func lines(t *testing.T, d flows.Dialect, f *flows.Facts) string {
	t.Helper()
	p, err := headers.NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := p.Build(f)
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	h := http.Header{}
	if err := p.Inject(h, pre, f); err != nil {
		return "error: " + err.Error() + "\n"
	}
	var out []string
	for k, v := range h {
		if len(v) != 1 {
			t.Errorf("%s has %d values", k, len(v))
		}
		q := fmt.Sprintf("%q", v[0])
		q = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(q[1 : len(q)-1])
		out = append(out, strings.TrimRight(k+": "+q, " ")+"\n")
	}
	slices.Sort(out)
	return transaction.ReplaceAllString(strings.Join(out, ""), "$1<random>")
}

// TestDialectGoldens: a Caddyfile block and facts in, exact header lines out.
// A golden is: the block, a line of hyphens, and for each facts file its name
// and the lines.
func TestDialectGoldens(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/dialects/*.golden")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			block, want, _ := strings.Cut(string(b), "----------\n")
			d, config, err := load(t, block)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			fmt.Fprintf(&got, "%s\n", config)
			for _, facts := range []string{"full", "bare", "unicode", "hostile"} {
				fmt.Fprintf(&got, "\n# %s\n%s", facts, lines(t, d, readFacts(t, facts)))
			}
			if *update {
				if err := os.WriteFile(file, []byte(block+"----------\n"+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

var dialectNames = []string{"siteminder", "remote_user", "x_forwarded"}

func TestDialectsConform(t *testing.T) {
	t.Parallel()
	for _, block := range []string{
		"siteminder", "siteminder {\n legacy_variables off\n groups on\n encode rfc2047\n}", "siteminder {\n groups on\n missing empty\n encode latin1\n}",
		"remote_user", "remote_user {\n join |\n encode percent\n missing none\n}", "x_forwarded", "x_forwarded {\n user subject\n encode base64\n}",
	} {
		d, _, err := load(t, block)
		if err != nil {
			t.Fatal(err)
		}
		flowstest.TestDialect(t, d, headers.Encode)
	}
}

// TestB11DialectsOwnAllSpellings: nothing a dialect may send in any setting
// can be sent by a client in any setting.
func TestB11DialectsOwnAllSpellings(t *testing.T) {
	t.Parallel()
	for _, name := range dialectNames {
		plain, _, err := load(t, name)
		if err != nil {
			t.Fatal(err)
		}
		s := headers.NewStripper(plain.Owned())
		blocks := []string{name}
		if name == "siteminder" {
			blocks = append(blocks, "siteminder {\n groups on\n realm r\n}", "siteminder {\n legacy_variables off\n groups on\n realm r\n}")
		}
		for _, block := range blocks {
			d, _, err := load(t, block)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range strings.Split(strings.TrimSpace(lines(t, d, readFacts(t, "full"))), "\n") {
				sent, _, _ := strings.Cut(l, ":")
				for _, alias := range []string{sent, strings.ToLower(sent), strings.NewReplacer("-", "_", "_", "-").Replace(sent), http.CanonicalHeaderKey(sent)} {
					if !s.Owns(alias) {
						t.Errorf("%s: a client may send %s", block, alias)
					}
				}
			}
		}
	}
	sm, _, _ := load(t, "siteminder")
	s := headers.NewStripper(sm.Owned())
	for _, other := range []string{"Smile", "SMTP-Relay", "Smart", "SM"} {
		if s.Owns(other) {
			t.Errorf("siteminder takes %s away", other)
		}
	}
}

func TestI06AsciiKeepsLoginsApart(t *testing.T) {
	t.Parallel()
	for _, block := range []string{"siteminder {\n encode ascii\n}", "remote_user {\n encode ascii\n}", "x_forwarded {\n encode ascii\n}"} {
		d, _, err := load(t, block)
		if err != nil {
			t.Fatal(err)
		}
		one, two := readFacts(t, "bare"), readFacts(t, "bare")
		one.User.Name, two.User.Name = "李", "王"
		a, b := lines(t, d, one), lines(t, d, two)
		if a == b || strings.Contains(a, "?") {
			t.Errorf("%s: two people look alike:\n%s", block, a)
		}
	}
}

func TestDialectErrors(t *testing.T) {
	t.Parallel()
	for _, name := range dialectNames {
		for _, tc := range []struct{ block, want string }{
			{name + " extra", "takes no argument, got \"extra\""},
			{name + " {\n nosuch on\n}", "unknown option 'nosuch' of " + name + "; there are: "},
			{name + " {\n encode\n}", "encode takes exactly one argument, got 0"},
			{name + " {\n encode raw auto\n}", "encode takes exactly one argument, got 2"},
			{name + " {\n encode utf8\n}", "unknown encoding \"utf8\"; there are: auto, raw, percent, base64, rfc2047, latin1, ascii"},
			{name + " {\n encode raw\n encode raw\n}", "encode is written twice"},
			{name + " {\n max many\n}", "max must be a number of bytes"},
			{name + " {\n max 0\n}", "max must be at least 1"},
			{name + " {\n max 1000000\n}", "max must be between 1 and 65536"},
			{name + " {\n join abc\n}", "a letter or digit cannot be a mark"},
			{name + " {\n join \"\"\n}", "join must not be empty"},
			{name + " {\n missing \"\"\n}", "missing must not be empty"},
		} {
			_, _, err := load(t, tc.block)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Testfile:") {
				t.Errorf("%q: error %v, want %q with file and line", tc.block, err, tc.want)
			}
		}
	}
	for _, tc := range []struct{ block, want string }{
		{"siteminder {\n legacy_variables maybe\n}", "legacy_variables must be on or off, got 'maybe'"},
		{"siteminder {\n legacy_variables\n}", "legacy_variables takes exactly one argument, got 0"},
		{"siteminder {\n groups on off\n}", "groups takes exactly one argument, got 2"},
		{"siteminder {\n realm \"a\nb\"\n}", "realm holds a control character"},
		{"x_forwarded {\n user\n}", "user takes exactly one attribute"},
	} {
		if _, _, err := load(t, tc.block); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.block, err, tc.want)
		}
	}
	for name, config := range map[string]string{
		"siteminder": `{"encode":"utf8"}`, "remote_user": `{"join":"a"}`, "x_forwarded": `{"max":-1}`,
	} {
		info, err := caddy.GetModule("identity.headers." + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provision(t, info, []byte(config)); err == nil {
			t.Errorf("%s: JSON %s is accepted", name, config)
		}
	}
}

// TestSiteMinderPerRequest: the time runs, the transaction is new each time,
// the session's id stays.
func TestSiteMinderPerRequest(t *testing.T) {
	t.Parallel()
	d, _, err := load(t, "siteminder")
	if err != nil {
		t.Fatal(err)
	}
	p, err := headers.NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	f := readFacts(t, "full")
	pre, err := p.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range 50 {
		h := http.Header{}
		if err := p.Inject(h, pre, f); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(39600 - i); h["SM_TIMETOEXPIRE"][0] != want || h["SM_SERVERSESSIONID"][0] != "3KFQ7W2M" {
			t.Errorf("request %d: %v, want %s seconds", i, h, want)
		}
		seen[h["SM_TRANSACTIONID"][0]] = true
		f.Now = f.Now.Add(1e9)
	}
	if len(seen) != 50 {
		t.Errorf("%d transaction ids of 50 requests", len(seen))
	}
}

func BenchmarkSiteMinderInject(b *testing.B) {
	info, err := caddy.GetModule("identity.headers.siteminder")
	if err != nil {
		b.Fatal(err)
	}
	m := info.New().(flows.Dialect)
	p, err := headers.NewPlan(m)
	if err != nil {
		b.Fatal(err)
	}
	f := flowstest.DialectFacts()
	pre, err := p.Build(f)
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Inject(h, pre, f); err != nil {
			b.Fatal(err)
		}
	}
}
