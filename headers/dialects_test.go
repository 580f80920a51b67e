package headers_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/signing"
	"github.com/sallyport-gateway/sallyport/headers"
	_ "github.com/sallyport-gateway/sallyport/headers/alb"
	_ "github.com/sallyport-gateway/sallyport/headers/assertion"
	_ "github.com/sallyport-gateway/sallyport/headers/cfaccess"
	_ "github.com/sallyport-gateway/sallyport/headers/f5"
	_ "github.com/sallyport-gateway/sallyport/headers/iap"
	_ "github.com/sallyport-gateway/sallyport/headers/mellon"
	_ "github.com/sallyport-gateway/sallyport/headers/oam"
	_ "github.com/sallyport-gateway/sallyport/headers/oktaag"
	_ "github.com/sallyport-gateway/sallyport/headers/openam"
	_ "github.com/sallyport-gateway/sallyport/headers/remoteuser"
	_ "github.com/sallyport-gateway/sallyport/headers/shibboleth"
	_ "github.com/sallyport-gateway/sallyport/headers/siteminder"
	_ "github.com/sallyport-gateway/sallyport/headers/webseal"
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
	if a, ok := m.(flows.Asserter); ok {
		a.Assert(signer(t))
	}
	return m.(flows.Dialect), m.(caddy.Validator).Validate()
}

// factsNow is when everything in testdata/facts happens.
var factsNow = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

var keys = sync.OnceValue(func() *signing.Keys {
	now := func() time.Time { return factsNow }
	k := &signing.Keys{Vault: flowstest.NewVault(now), Now: now}
	for _, a := range flows.SigningAlgorithms {
		_ = k.Use(a)
	}
	return k
})

// signer signs with keys that are made once for all tests here.
func signer(t *testing.T) *signing.Keys {
	t.Helper()
	if err := keys().Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return keys()
}

func readFacts(t *testing.T, name string) *flows.Facts {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "facts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &flows.Facts{Request: &flows.Request{Scheme: "https", Host: "app.example.com"}}
	if err := json.Unmarshal(b, f); err != nil {
		t.Fatal(err)
	}
	return f
}

var transaction = regexp.MustCompile(`(?m)^(SM_?TRANSACTIONID: )[0-9a-f]{32}$`)

// wire is what goes out for f through a real proxy: the header lines as the upstream
// got them, sorted, Go's quoting for bytes that are no printable text. A client's
// own headers of all those names make no difference.
func wire(t *testing.T, w *headers.Wire, d flows.Dialect, f *flows.Facts) string {
	t.Helper()
	p, err := headers.NewPlan(d)
	if err != nil {
		t.Fatal(err)
	}
	s := headers.NewStripper(p.Owned())
	var refused error
	w.Serve = func(r *http.Request) error {
		s.Clean(r)
		if f == nil {
			p.Nobody().Inject(r.Header)
			return nil
		}
		pre, err := p.Build(f)
		if err == nil {
			err = p.Inject(r.Header, pre, f)
		}
		refused = err
		return err
	}
	status, got := w.Send(t)
	if refused != nil {
		if !strings.Contains(status, " 403 ") {
			t.Errorf("refused, but answered %s", status)
		}
		return "error: " + refused.Error() + "\n"
	}
	if _, again := w.Send(t, spoofs(p.Owned(), got)...); mask(again) != mask(got) {
		t.Errorf("a client's headers made a difference: got\n%s\nwithout them\n%s", mask(again), mask(got))
	}
	return mask(got)
}

func mask(lines []string) string {
	lines = slices.Sorted(slices.Values(lines))
	for i, l := range lines {
		q := fmt.Sprintf("%q", shownToken(strings.TrimRight(l, " ")))
		lines[i] = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(q[1:len(q)-1]) + "\n"
	}
	return transaction.ReplaceAllString(strings.Join(lines, ""), "$1<random>")
}

var random = regexp.MustCompile(`"(kid|jti)":"[^"]+"`)

// shownToken writes a header line that holds a token as what it says: the header,
// the claims, and how long the token and its signature are. Both vary in nothing else.
func shownToken(line string) string {
	name, value, _ := strings.Cut(line, ": ")
	parts := strings.Split(value, ".")
	if len(parts) != 3 || !strings.HasPrefix(value, "eyJ") {
		return line
	}
	enc, kind := base64.RawURLEncoding, "JWT"
	if len(value)%4 == 2 && strings.HasSuffix(parts[0]+parts[1]+parts[2], "=") {
		enc, kind = base64.URLEncoding, "JWT with padding"
	}
	var text [3]string
	for i, p := range parts {
		b, err := enc.DecodeString(p)
		if err != nil {
			return line
		}
		text[i] = random.ReplaceAllString(string(b), `"$1":<random>`)
	}
	return fmt.Sprintf("%s: <%s, %d bytes: %s %s signature of %d bytes>", name, kind, len(value), text[0], text[1], len(text[2]))
}

// spoofs are header lines of a client that wants to be somebody else: every name
// that is owned or sent, in the spellings that reach an application.
func spoofs(owned, sent []string) (lines []string) {
	var names []string
	for _, n := range owned {
		names = append(names, strings.Replace(n, "*", "X", 1))
	}
	for _, l := range sent {
		n, _, _ := strings.Cut(l, ":")
		names = append(names, n)
	}
	for _, n := range names {
		for _, alias := range []string{n, strings.ReplaceAll(n, "_", "-"), strings.ReplaceAll(n, "-", "_"), strings.ToLower(n)} {
			lines = append(lines, alias+": mallory")
		}
	}
	return lines
}

// goldenFacts are who signs in; huge is full with more groups and a longer name
// than a header takes.
func goldenFacts(t *testing.T, name string) *flows.Facts {
	t.Helper()
	if name != "huge" {
		return readFacts(t, name)
	}
	f := readFacts(t, "full")
	f.User.Groups = slices.Repeat([]string{"a group of many"}, 8000)
	f.User.Name = strings.Repeat("alice", 20000)
	f.User.Attributes["department"] = strings.Repeat("ü", 40000)
	return f
}

// TestP14B22B23DialectGoldens: a Caddyfile block and a person in, the exact bytes that
// reach the upstream out. A golden is: the block, a line of hyphens, the JSON,
// what leaving means, and for each person, and for nobody, the header lines.
func TestP14B22B23DialectGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/dialects/*.golden")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	w := headers.NewWire(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			block, want, _ := strings.Cut(string(b), "----------\n")
			d, config, err := load(t, block)
			if err != nil {
				t.Fatal(err)
			}
			got := config + "\n" + leave(d)
			for _, name := range []string{"full", "bare", "empty", "unicode", "hostile", "huge"} {
				got += fmt.Sprintf("\n# %s\n%s", name, wire(t, w, d, goldenFacts(t, name)))
			}
			if nobody := wire(t, w, d, nil); nobody != "" {
				got += "\n# nobody\n" + nobody
			}
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			if err := os.WriteFile(file, []byte(block+"----------\n"+got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// leave is how the old system ended sessions.
func leave(d flows.Dialect) string {
	l, ok := d.(flows.Leaver)
	if !ok {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n# leave\n")
	for _, p := range l.Leave().Paths {
		b.WriteString(strings.TrimSuffix(p.Path+" ?"+p.Query, " ?") + "\n")
	}
	for _, c := range l.Leave().Cookies {
		b.WriteString("clear " + c + "\n")
	}
	return b.String()
}

// TestDialectGoldensAreComplete: every word of every dialect, and every encoding it
// takes, stands in a golden of its own.
func TestDialectGoldensAreComplete(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/dialects/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		block, _, _ := strings.Cut(string(b), "----------\n")
		var name string
		for i, l := range strings.Split(block, "\n") {
			f := strings.Fields(l)
			switch {
			case i == 0:
				name = f[0]
				seen[name] = true
			case len(f) > 1:
				seen[name+" "+f[0]] = true
				seen[name+" "+f[0]+" "+f[1]] = true
			}
		}
	}
	for _, name := range dialectNames {
		_, _, err := load(t, name+" {\n nosuch on\n}")
		if err == nil {
			t.Fatal("nosuch is a word")
		}
		_, words, _ := strings.Cut(err.Error(), "there are: ")
		words, _, _ = strings.Cut(words, ", at Testfile")
		want := []string{name}
		for _, word := range strings.Split(words, ", ") {
			want = append(want, name+" "+word)
		}
		_, _, err = load(t, name+" {\n encode nosuch\n}")
		_, modes, _ := strings.Cut(err.Error(), "there are: ")
		modes, _, _ = strings.Cut(modes, ", at Testfile")
		for _, mode := range strings.Split(modes, ", ") {
			want = append(want, name+" encode "+mode)
		}
		if len(want) < 14 {
			t.Errorf("%s has only %v", name, want)
		}
		for _, k := range want {
			if !seen[k] {
				t.Errorf("no golden for %s", k)
			}
		}
	}
	_, _, err = load(t, "assertion {\n nosuch on\n}")
	_, words, _ := strings.Cut(err.Error(), "there are: ")
	words, _, _ = strings.Cut(words, ", at Testfile")
	for _, word := range append(strings.Split(words, ", "), "algorithm ES256", "algorithm RS256", "algorithm EdDSA") {
		if !seen["assertion "+word] {
			t.Errorf("no golden for assertion %s", word)
		}
	}
}

var dialectNames = []string{
	"alb",
	"cf_access",
	"f5",
	"iap",
	"mellon",
	"oam",
	"okta_ag",
	"openam",
	"remote_user",
	"shibboleth",
	"siteminder",
	"webseal",
	"x_forwarded",
}

func TestDialectsConform(t *testing.T) {
	t.Parallel()
	for _, block := range []string{
		"oam", "oam {\n user email\n attribute X-Groups groups\n}", "webseal", "webseal {\n encode lcp_bin\n attribute X-Dept department\n missing NOT_FOUND\n}",
		"openam {\n attribute uid name\n attribute memberOf groups\n}", "shibboleth", "shibboleth {\n attribute isMemberOf groups\n missing empty\n}",
		"mellon", "mellon {\n attribute groups groups\n}", "f5 {\n attribute X-User name\n attribute X-Groups groups\n}",
		"okta_ag {\n attribute X-User name\n attribute X-Groups groups\n}", "okta_ag {\n attribute X-Groups groups\n wrap off\n}",
		"iap", "iap {\n audience /projects/1/apps/x\n claim dept department\n}", "cf_access", "cf_access {\n ttl 10m\n}",
		"alb", "alb {\n signer arn:x\n client c\n issuer https://idp.example.com\n}",
		"assertion", "assertion X-Token {\n audience a b\n algorithm RS256\n claim emp employee_id\n}", "assertion {\n algorithm EdDSA\n without groups\n}",
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
	w := headers.NewWire(t)
	for _, name := range dialectNames {
		plain, _, err := load(t, minimal(name))
		if err != nil {
			t.Fatal(err)
		}
		s := headers.NewStripper(plain.Owned())
		blocks := []string{minimal(name)}
		if name == "siteminder" {
			blocks = append(blocks, "siteminder {\n groups on\n realm r\n}", "siteminder {\n legacy_variables off\n groups on\n realm r\n}")
		}
		for _, block := range blocks {
			d, _, err := load(t, block)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range strings.Split(strings.TrimSpace(wire(t, w, d, readFacts(t, "full"))), "\n") {
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

// TestB24TooLongAHeaderIsRefused: no dialect cuts, in no encoding, also not where the
// groups alone are too many; nothing reaches the application.
func TestB24TooLongAHeaderIsRefused(t *testing.T) {
	t.Parallel()
	w := headers.NewWire(t)
	for _, name := range dialectNames {
		lists := map[string]string{"siteminder": "groups on", "remote_user": "", "x_forwarded": "", "webseal": ""}
		line, known := lists[name]
		if !known {
			line = "attribute X-Groups groups"
		}
		for _, mode := range flows.HeaderEncodings {
			limit, many := "max 200", 20
			if asserts(name) {
				limit, many, line = "max 900", 60, "claim groups groups"
			}
			lines := []string{"encode " + mode, limit}
			if line != "" {
				lines = append(lines, line)
			}
			d, _, err := load(t, minimal(name, lines...))
			if err != nil {
				t.Fatal(err)
			}
			f := readFacts(t, "full")
			if got := wire(t, w, d, f); strings.HasPrefix(got, "error: ") {
				t.Errorf("%s, encode %s: two groups are too long: %s", name, mode, got)
			}
			f.User.Groups = slices.Repeat([]string{"a group of many"}, many)
			f.User.Attributes["group_dns"] = f.User.Groups
			if got := wire(t, w, d, f); !strings.HasPrefix(got, "error: header_too_long: header ") {
				t.Errorf("%s, encode %s: many groups went out as\n%s", name, mode, got)
			}
		}
	}
}

// TestI06LossyEncodingsKeepLoginsApart: what loses characters would make two people
// look alike, wherever a header names a person.
func TestI06LossyEncodingsKeepLoginsApart(t *testing.T) {
	t.Parallel()
	w := headers.NewWire(t)
	for _, name := range dialectNames {
		for _, mode := range []string{"ascii", "lcp_uri", "lcp_bin"} {
			if mode != "ascii" && name != "webseal" {
				continue
			}
			d, _, err := load(t, minimal(name, "encode "+mode))
			if err != nil {
				t.Fatal(err)
			}
			one, two := readFacts(t, "bare"), readFacts(t, "bare")
			one.User.Name, two.User.Name = "李", "王"
			one.User.Subject, two.User.Subject = "李", "王"
			one.User.Key, two.User.Key = "local:李", "local:王"
			a, b := wire(t, w, d, one), wire(t, w, d, two)
			if a == b || strings.Contains(a, "?") {
				t.Errorf("%s, encode %s: two people look alike:\n%s", name, mode, a)
			}
		}
	}
}

// asserts reports a dialect whose groups go into a token, if anywhere.
func asserts(name string) bool {
	info, err := caddy.GetModule("identity.headers." + name)
	if err != nil {
		return false
	}
	_, ok := info.New().(flows.Asserter)
	return ok
}

// minimal is a dialect's shortest block, with further lines.
func minimal(name string, lines ...string) string {
	switch name {
	case "openam", "f5", "okta_ag": // any names: without one there is nothing to send
		lines = append([]string{"attribute X-User name"}, lines...)
	}
	if len(lines) == 0 {
		return name
	}
	return name + " {\n\t" + strings.Join(lines, "\n\t") + "\n}"
}

// TestI26TokensAreShownAsKindAndLength: who lists what would be sent cannot send it.
func TestI26TokensAreShownAsKindAndLength(t *testing.T) {
	t.Parallel()
	for block, plain := range map[string]int{"assertion": 0, "iap": 2, "alb": 1, "cf_access": 1} {
		d, _, err := load(t, block)
		if err != nil {
			t.Fatal(err)
		}
		p, err := headers.NewPlan(d)
		if err != nil {
			t.Fatal(err)
		}
		pre, err := p.Build(readFacts(t, "full"))
		if err != nil {
			t.Fatal(err)
		}
		sent, shown := http.Header{}, 0
		pre.Inject(sent)
		for _, f := range pre.Fields() {
			switch value := sent[f.Name][0]; {
			case strings.HasPrefix(value, "eyJ") && f.Value == fmt.Sprintf("JWT, %d bytes", len(value)):
			case f.Value == value:
				shown++
			default:
				t.Errorf("%s: %s is shown as %q", block, f.Name, f.Value)
			}
		}
		if shown != plain || len(sent) != plain+1 {
			t.Errorf("%s: %d of %d headers are shown", block, shown, len(sent))
		}
		if !pre.Good(factsNow.Add(29*time.Second)) || pre.Good(factsNow.Add(31*time.Second)) {
			t.Errorf("%s: a token of a minute is not made anew after half of one", block)
		}
	}
}

// unsigned is a signer that must not be asked.
type unsigned struct{ t *testing.T }

func (unsigned) Issuer(f *flows.Facts) string { return f.Origin() }

func (u unsigned) Sign(flows.Token) (string, error) {
	u.t.Error("a token is signed that nobody gets")
	return "", nil
}

// Who only wants to know what would be sent has nothing signed, and is told how long the
// token would be (I26).
func TestI26AnOutlineSignsNothing(t *testing.T) {
	t.Parallel()
	for _, block := range []string{"assertion", "iap", "alb", "cf_access"} {
		d, _, err := load(t, block)
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
		d.(flows.Asserter).Assert(unsigned{t})
		got, err := p.Outline(f)
		if want := pre.Fields(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v\nwant %v", block, got, err, want)
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
		{"assertion X-A X-B", "assertion takes one argument, the name of its header; 'X-B' is a second one"},
		{"assertion {\n nosuch\n}", "unknown option 'nosuch' of assertion; there are: audience, issuer, ttl, claim, algorithm, without, max"},
		{"assertion {\n algorithm none\n}", "algorithm: there is no 'none'; there are: ES256, RS256, EdDSA"},
		{"iap {\n namespace \"a b\"\n}", "namespace must be printable ASCII without blanks"},
		{"iap {\n id {user.key}\n}", "id: '{user.key}' is no attribute"},
		{"alb {\n identity\n}", "identity takes exactly one argument, got 0"},
		{"alb {\n signer a b\n}", "signer takes exactly one argument, got 2"},
		{"cf_access {\n ttl 0s\n}", "ttl must be between 1s and 24h"},
		{"siteminder {\n legacy_variables maybe\n}", "legacy_variables must be on or off, got 'maybe'"},
		{"siteminder {\n legacy_variables\n}", "legacy_variables takes exactly one argument, got 0"},
		{"siteminder {\n groups on off\n}", "groups takes exactly one argument, got 2"},
		{"siteminder {\n realm \"a\nb\"\n}", "realm holds a control character"},
		{"x_forwarded {\n user\n}", "user takes exactly one argument, got 0"},
		{"siteminder {\n logoff_uri\n}", "logoff_uri takes at least one path"},
		{"siteminder {\n logoff_uri /\n}", "logoff_uri: '/' must be a path that not every request begins with"},
		{"siteminder {\n logoff_uri logout.html\n}", "logoff_uri: 'logout.html' must be a path"},
		{"siteminder {\n encode utf8_uri\n}", "unknown encoding"},
		{"remote_user {\n encode hex\n}", "unknown encoding"},
		{"openam", "no header is mapped: add a line `attribute <Header> <attribute>`"},
		{"f5 {\n join |\n}", "no header is mapped"},
		{"okta_ag {\n}", "no header is mapped"},
		{"openam {\n attribute X-User\n}", "attribute takes a header and an attribute, got 1 arguments"},
		{"openam {\n attribute X:User name\n}", "\"X:User\" is no header name (RFC 9110 §5.1)"},
		{"openam {\n attribute X-User \"CORP {user.name}\"\n}", "is no attribute; a text with placeholders is a line `header X-User …` of protect"},
		{"openam {\n attribute X-User name\n attribute x_user email\n}", "attribute x_user is written twice; many applications cannot tell X-User from it"},
		{"webseal {\n send iv-user iv-creds\n}", "send: no header is called 'iv-creds'; there are: iv-user, iv-user-l, iv-groups"},
		{"webseal {\n send\n}", "send takes at least one header"},
		{"webseal {\n anonymous Gäste\n}", "anonymous must be printable ASCII"},
		{"webseal {\n encode hex\n}", "there are: auto, raw, percent, base64, rfc2047, latin1, ascii, utf8_uri, utf8_bin, lcp_uri, lcp_bin"},
		{"webseal {\n logout *\n}", "logout: '*' would end every session"},
		{"webseal {\n logout /*\n}", "logout: '/*' would end every session"},
		{"webseal {\n logout bye\n}", "logout: 'bye' is no path: it must begin with / or *"},
		{"webseal {\n logout /a*b\n}", "a path here is exact or has one * at either end"},
		{"webseal {\n logout\n}", "logout takes at least one argument"},
		{"webseal {\n clear_cookie \"a b\"\n}", "clear_cookie: \"a b\" is no cookie name"},
		{"webseal {\n join \"\\\"\"\n}", "share a character"},
		{"shibboleth {\n join \"\\\\\"\n}", "shares a character"},
		{"shibboleth {\n identity_provider \"a\nb\"\n}", "holds a control character"},
		{"okta_ag {\n wrap maybe\n}", "wrap must be on or off, got 'maybe'"},
		{"okta_ag {\n join \" \"\n}", "wrap needs a join that is more than blanks"},
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

// everythingOwned are the names of all dialects together, each with an attribute.
func everythingOwned(tb testing.TB) (names []string) {
	tb.Helper()
	for _, name := range dialectNames {
		info, err := caddy.GetModule("identity.headers." + name)
		if err != nil {
			tb.Fatal(err)
		}
		m := info.New()
		if err := m.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(minimal(name))); err != nil {
			tb.Fatal(err)
		}
		names = append(names, m.(flows.Dialect).Owned()...)
	}
	return names
}

// BenchmarkCleanOwned: what a request costs does not grow with the dialects loaded.
func BenchmarkCleanOwned(b *testing.B) {
	all := everythingOwned(b)
	for _, c := range []struct {
		name  string
		owned []string
	}{{"siteminder", siteminderOwned(b)}, {"everything", all}} {
		b.Run(c.name, func(b *testing.B) {
			clean := cleaner(c.owned)
			b.ReportAllocs()
			for b.Loop() {
				clean()
			}
		})
	}
}

func siteminderOwned(tb testing.TB) []string {
	tb.Helper()
	info, err := caddy.GetModule("identity.headers.siteminder")
	if err != nil {
		tb.Fatal(err)
	}
	return info.New().(flows.Dialect).Owned()
}

// cleaner cleans what a browser sends through a proxy: twelve headers.
func cleaner(owned []string) func() {
	s := headers.NewStripper(owned)
	r := &http.Request{Header: headers.BrowserHeaders()}
	return func() { s.Clean(r) }
}

func TestCleanEverythingAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(200, cleaner(everythingOwned(t))); n != 0 {
		t.Errorf("%v allocations with all dialects loaded", n)
	}
}
