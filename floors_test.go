package sallyport_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/sallyport-gateway/sallyport"
	caddyPath  = "github.com/caddyserver/caddy/v2"
)

// floor is where a package stands in the house. A package imports lower floors only.
type floor int

const (
	ground  floor = iota // flows and its helpers: standard library only
	strip                // headers itself: what rooms and hall share of header handling
	shared               // adapters/internal: clients that several rooms speak through, since no room imports another
	room                 // guests
	hall                 // module: what Caddy sees
	door                 // caddyfile: the words of the Caddyfile
	roof                 // cmd, examples, the root: links everything
	unknown              // a folder nobody assigned to a floor
)

func (f floor) String() string {
	return [...]string{"ground", "headers", "shared", "room", "hall", "front door", "roof", "no floor"}[f]
}

// floorOf answers the floor of a folder, by its slash path below the root, and
// for a room which one.
func floorOf(dir string) (f floor, name string) {
	parts := strings.Split(dir, "/")
	switch parts[0] {
	case ".", "", "cmd", "examples":
		return roof, ""
	case "caddyfile":
		return door, ""
	case "module":
		return hall, ""
	case "headers":
		if len(parts) == 1 {
			return strip, ""
		}
		return room, strings.Join(parts[:2], "/")
	case "flows":
		if len(parts) > 2 && parts[1] == "steps" {
			return room, strings.Join(parts[:3], "/")
		}
		return ground, ""
	case "adapters":
		if len(parts) > 2 && parts[1] == "internal" {
			return shared, strings.Join(parts[:3], "/")
		}
		if len(parts) > 2 {
			return room, strings.Join(parts[:3], "/")
		}
	}
	return unknown, ""
}

// heavyCaddy may only be imported by hall, door and roof: it brings an
// http.ResponseWriter. Rooms take exactly lightCaddy.
var lightCaddy = []string{caddyPath, caddyPath + "/caddyconfig", caddyPath + "/caddyconfig/caddyfile"}

// mayImport says why a file in dir may not import p; empty if it may.
func mayImport(dir, p string) string {
	from, me := floorOf(dir)
	if from == unknown {
		return "the folder is on no floor"
	}
	if from == roof {
		return ""
	}
	if own, ok := strings.CutPrefix(p, modulePath); ok {
		to, other := floorOf(strings.TrimPrefix(own, "/"))
		switch {
		case own == "":
			return "the root links everything"
		case to == room && other == me && from == room:
			return ""
		case to == room:
			return "nobody imports a room"
		case to == shared && (from == room || me == other):
			return ""
		case to == shared:
			return "adapters/internal is for rooms"
		case to == ground:
			return ""
		case to == from, from == hall && to == strip, from == door && (to == hall || to == strip):
			return ""
		}
		return fmt.Sprintf("%s may not import %s", from, to)
	}
	first, _, _ := strings.Cut(p, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library
	}
	switch from {
	case ground, strip:
		if dir == "flows/policy" && (p == "cel.dev/cel-go" || strings.HasPrefix(p, "cel.dev/cel-go/")) {
			return ""
		}
		return fmt.Sprintf("%s imports the standard library only", from)
	case shared:
		if strings.HasPrefix(p, "github.com/caddyserver/") {
			return "what rooms share knows nothing of Caddy"
		}
	case room:
		if strings.HasPrefix(p, "github.com/caddyserver/caddy") && !slices.Contains(lightCaddy, p) {
			return "rooms import of Caddy only caddy, caddyconfig and caddyconfig/caddyfile"
		}
	}
	return ""
}

// forbidden are identifiers that belong to hall and roof alone, with the reason.
var forbidden = map[string]map[string]string{
	"net/http": {
		"ResponseWriter":   "guests return values, the hall answers (I27)",
		"Handler":          "guests return values, the hall answers (I27)",
		"HandlerFunc":      "guests return values, the hall answers (I27)",
		"DefaultClient":    "no time-out, no cap: use Registry.Outbound",
		"DefaultTransport": "no time-out, no cap: use Registry.Outbound",
		"Get":              "uses the default client: use Registry.Outbound",
		"Head":             "uses the default client: use Registry.Outbound",
		"Post":             "uses the default client: use Registry.Outbound",
		"PostForm":         "uses the default client: use Registry.Outbound",
	},
	"time": {
		"Now":   "time comes in: Registry.Now or a func",
		"Since": "time comes in: Registry.Now or a func",
		"Until": "time comes in: Registry.Now or a func",
	},
}

// violations lists what a file breaks. name is its slash path below the root.
func violations(name string, src []byte) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	on, _ := floorOf(dir)
	helper := strings.HasSuffix(path.Base(dir), "test")
	var out []string
	report := func(p token.Pos, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s: %s", set.Position(p), fmt.Sprintf(format, args...)))
	}
	names := map[string]string{} // local name of a package → its path
	for _, im := range file.Imports {
		p, err := strconv.Unquote(im.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := mayImport(dir, p); why != "" {
			report(im.Pos(), "imports %s: %s", p, why)
		}
		if helper || on == hall || on == roof {
			continue
		}
		if p == "math/rand" || p == "math/rand/v2" {
			report(im.Pos(), "imports %s: chance comes from crypto/rand", p)
		}
		if forbidden[p] == nil {
			continue
		}
		local := path.Base(p)
		if im.Name != nil {
			local = im.Name.Name
		}
		if local == "." {
			report(im.Pos(), "imports %s by dot, which hides what it uses", p)
		}
		names[local] = p
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok {
			if why := forbidden[names[x.Name]][sel.Sel.Name]; why != "" {
				report(sel.Pos(), "uses %s.%s: %s", x.Name, sel.Sel.Name, why)
			}
		}
		return true
	})
	return out, nil
}

// sources lists the Go files of the project that are no tests. They are read
// here, not by `go list`: the test cache watches only what the test opens.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && name != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "node_modules"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			files = append(files, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d files: the walk is broken", len(files))
	}
	return files
}

// TestFloors reads every file of the house.
func TestFloors(t *testing.T) {
	for _, name := range sources(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		broken, err := violations(name, src)
		if err != nil {
			t.Error(err)
		}
		for _, b := range broken {
			t.Error(b)
		}
	}
}

// TestFloorsCanFail shows that each rule is seen when it is broken.
func TestFloorsCanFail(t *testing.T) {
	t.Parallel()
	importing := func(p string) string { return "package x\nimport _ \"" + p + "\"\n" }
	for _, tc := range []struct{ name, file, src, want string }{
		{"ground imports caddy", "flows/bad.go", importing(caddyPath), "standard library only"},
		{"ground imports a third party", "flows/session/bad.go", importing("go.etcd.io/bbolt"), "standard library only"},
		{"ground imports cel outside policy", "flows/audit/bad.go", importing("cel.dev/cel-go/cel"), "standard library only"},
		{"ground imports the hall", "flows/bad.go", importing(modulePath + "/module"), "ground may not import hall"},
		{"ground imports a room", "flows/bad.go", importing(modulePath + "/flows/steps/login"), "nobody imports a room"},
		{"headers imports caddy", "headers/bad.go", importing(caddyPath), "standard library only"},
		{"a room imports caddyhttp", "adapters/idp/x/bad.go", importing(caddyPath + "/modules/caddyhttp"), "rooms import of Caddy only"},
		{"a room imports httpcaddyfile", "headers/x/bad.go", importing(caddyPath + "/caddyconfig/httpcaddyfile"), "rooms import of Caddy only"},
		{"a room imports another", "adapters/idp/x/bad.go", importing(modulePath + "/adapters/idp/y"), "nobody imports a room"},
		{"a step imports another", "flows/steps/x/bad.go", importing(modulePath + "/flows/steps/y"), "nobody imports a room"},
		{"a room imports the hall", "flows/steps/x/bad.go", importing(modulePath + "/module"), "room may not import hall"},
		{"a room imports headers", "headers/x/bad.go", importing(modulePath + "/headers"), "room may not import headers"},
		{"a room imports the door", "adapters/store/x/bad.go", importing(modulePath + "/caddyfile"), "room may not import front door"},
		{"the hall imports what rooms share", "module/bad.go", importing(modulePath + "/adapters/internal/ldapconn"), "is for rooms"},
		{"what rooms share imports caddy", "adapters/internal/x/bad.go", importing(caddyPath), "nothing of Caddy"},
		{"what rooms share imports a room", "adapters/internal/x/bad.go", importing(modulePath + "/adapters/idp/local"), "nobody imports a room"},
		{"what rooms share imports its neighbour", "adapters/internal/x/bad.go", importing(modulePath + "/adapters/internal/y"), "is for rooms"},
		{"what rooms share has no clock", "adapters/internal/x/bad.go", "package x\nimport \"time\"\nvar t = time.Now()\n", "time.Now"},
		{"the hall imports a room", "module/bad.go", importing(modulePath + "/adapters/store/file"), "nobody imports a room"},
		{"the hall imports the door", "module/pages/bad.go", importing(modulePath + "/caddyfile"), "hall may not import front door"},
		{"the door imports a room", "caddyfile/bad.go", importing(modulePath + "/headers/siteminder"), "nobody imports a room"},
		{"the door imports the root", "caddyfile/bad.go", importing(modulePath), "the root links everything"},
		{"a folder without a floor", "util/bad.go", importing("fmt"), "on no floor"},
		{"a room takes a ResponseWriter", "adapters/idp/x/bad.go", "package x\nimport \"net/http\"\nfunc f(http.ResponseWriter) {}\n", "http.ResponseWriter"},
		{"under another name", "flows/bad.go", "package x\nimport web \"net/http\"\nvar h web.Handler\n", "web.Handler"},
		{"by dot", "flows/bad.go", "package x\nimport . \"net/http\"\nvar h Handler\n", "by dot"},
		{"the default client", "adapters/idp/x/bad.go", "package x\nimport \"net/http\"\nvar c = http.DefaultClient\n", "http.DefaultClient"},
		{"the default client unnamed", "adapters/idp/x/bad.go", "package x\nimport \"net/http\"\nvar _, _ = http.Get(\"\")\n", "http.Get"},
		{"the clock", "flows/steps/x/bad.go", "package x\nimport \"time\"\nvar t = time.Now()\n", "time.Now"},
		{"the clock in the door", "caddyfile/bad.go", "package x\nimport \"time\"\nvar t = time.Now\n", "time.Now"},
		{"math/rand", "flows/bad.go", importing("math/rand"), "crypto/rand"},
		{"math/rand/v2", "headers/bad.go", importing("math/rand/v2"), "crypto/rand"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := violations(tc.file, []byte(tc.src))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || !strings.Contains(got[0], tc.want) {
				t.Errorf("violations of %q are %q, want one with %q", tc.src, got, tc.want)
			}
		})
	}
}

// TestFloorsLetGood shows that the rules stop nothing that is meant to be.
func TestFloorsLetGood(t *testing.T) {
	t.Parallel()
	for file, imported := range map[string]string{
		"flows/policy/a.go":               "cel.dev/cel-go/common/types",
		"adapters/store/file/a.go":        "go.etcd.io/bbolt",
		"adapters/idp/oidc/keys/a.go":     modulePath + "/adapters/idp/oidc",
		"adapters/idp/ldap/a.go":          modulePath + "/adapters/internal/ldapconn",
		"adapters/internal/x/a.go":        "github.com/go-ldap/ldap/v3",
		"flows/steps/when/a.go":           caddyPath + "/caddyconfig/caddyfile",
		"module/session/a.go":             modulePath + "/headers",
		"caddyfile/a.go":                  modulePath + "/module",
		"cmd/standard/a.go":               modulePath + "/adapters/idp/local",
		"sallyport.go":                    modulePath + "/cmd/standard",
		"module/a.go":                     "math/rand",
		"adapters/idp/oidc/oidctest/a.go": "math/rand",
	} {
		got, err := violations(file, []byte("package x\nimport _ \""+imported+"\"\n"))
		if err != nil || len(got) > 0 {
			t.Errorf("%s may import %s, but: %q %v", file, imported, got, err)
		}
	}
	got, err := violations("module/a.go", []byte("package x\nimport (\"net/http\"; \"time\")\nfunc f(http.ResponseWriter) { time.Now() }\n"))
	if err != nil || len(got) > 0 {
		t.Errorf("the hall has ResponseWriter and clock, but: %q %v", got, err)
	}
}

// TestEveryPackageSaysWhatItIs wants one package sentence per folder.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	docs := map[string]int{}
	for _, name := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		docs[path.Dir(name)] += 0
		if f.Doc != nil {
			docs[path.Dir(name)]++
		}
	}
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, n)
		}
	}
}
