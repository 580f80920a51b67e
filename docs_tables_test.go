package sallyport_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/sallyport-gateway/sallyport/module"
)

// TestCaddyfilePageHasEveryWord: the words are asked of the parsers themselves,
// which list what exists where something does not.
func TestCaddyfilePageHasEveryWord(t *testing.T) {
	t.Parallel()
	page := text(t, "docs/caddyfile.md")
	for _, snippet := range []string{
		"identity {\nno_such_word\n}",
		"identity {\nflow f {\nno_such_word\n}\n}",
		"identity {\nsession {\nno_such_word\n}\n}",
		"identity {\npages {\nno_such_word\n}\n}",
		"identity {\nprovider p no_such_word\n}",
		"protect {\nno_such_word\n}",
		"protect {\nsession {\nno_such_word\n}\n}",
		"protect {\nrequire `auth.no_such_word`\n}",
		"protect {\nrequire `request.no_such_word`\n}",
		"protect {\nrequire `no_such_word`\n}",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(complete(snippet)), map[string]any{"filename": "Caddyfile"})
		_, list, ok := strings.Cut(fmt.Sprint(err), "; there are: ")
		if !ok {
			t.Errorf("%s: %v", snippet, err)
			continue
		}
		list, _, _ = strings.Cut(list, ", at Caddyfile:")
		list, _, _ = strings.Cut(list, "\n")
		for _, word := range strings.Split(list, ", ") {
			_, field, _ := strings.Cut("."+word, ".request.")
			if !wordIn(page, word) && (field == "" || !strings.Contains(page, "`."+field+"`")) {
				t.Errorf("docs/caddyfile.md does not have %s (%s)", word, strings.ReplaceAll(snippet, "\n", " "))
			}
		}
	}
}

func wordIn(page, word string) bool {
	return regexp.MustCompile(`[^\w.]` + regexp.QuoteMeta(word) + `[^\w]`).MatchString(page)
}

var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")

// TestOperationsExplainsEveryReason: whoever finds a code in the trail or on a
// page finds it in the table, too.
func TestOperationsExplainsEveryReason(t *testing.T) {
	t.Parallel()
	_, rest, ok := strings.Cut(text(t, "docs/operations.md"), "\n## Reasons\n")
	if !ok {
		t.Fatal("docs/operations.md has no section Reasons")
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	told := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		told[m[1]] = true
	}
	exist := reasonCodes(t)
	for _, code := range slices.Sorted(maps.Keys(exist)) {
		if !told[code] {
			t.Errorf("docs/operations.md does not explain the reason %s", code)
		}
	}
	for code := range told {
		if !exist[code] {
			t.Errorf("docs/operations.md explains %s, which is no reason", code)
		}
	}
}

// reasonCodes are the values of all constants of type Reason.
func reasonCodes(t *testing.T) map[string]bool {
	t.Helper()
	codes := map[string]bool{}
	for _, name := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || typeName(spec.Type) != "Reason" {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					code, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					codes[code] = true
				}
			}
			return true
		})
	}
	if len(codes) < 20 {
		t.Fatalf("only %d reasons found", len(codes))
	}
	return codes
}

// TestOperationsListsEveryTemplate: whoever wants their own pages knows their names.
func TestOperationsListsEveryTemplate(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("module/pages/templates/*.html")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d templates: %v", len(files), err)
	}
	page := text(t, "docs/operations.md")
	for _, f := range files {
		if name := filepath.Base(f); !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/operations.md does not name the template %s", name)
		}
	}
}

var metric = regexp.MustCompile(`(?:counter\(|vector\(|Name: |NewDesc\()"(?:sallyport_)?([a-z_]+)"`)

// TestOperationsListsEveryMetric compares the table with the code.
func TestOperationsListsEveryMetric(t *testing.T) {
	t.Parallel()
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `sallyport_([a-z_]+)` \\|").FindAllStringSubmatch(text(t, "docs/operations.md"), -1) {
		told[m[1]] = true
	}
	n := 0
	for _, name := range sources(t) {
		src := text(t, name)
		if !strings.Contains(src, "prometheus.") {
			continue
		}
		for _, m := range metric.FindAllStringSubmatch(src, -1) {
			if n++; !told[m[1]] {
				t.Errorf("docs/operations.md does not list sallyport_%s", m[1])
			}
		}
	}
	if n != len(told) || n < 10 {
		t.Errorf("docs/operations.md lists %d metrics, the code has %d", len(told), n)
	}
}

// TestAdminPageIsWhole: the page has every address of the admin API, and every finding of
// lint with its severity, and none that is not there.
func TestAdminPageIsWhole(t *testing.T) {
	t.Parallel()
	page := text(t, "docs/admin.md")
	for _, r := range (module.AdminAPI{}).Routes() {
		if !regexp.MustCompile("(?m)^\\| `[A-Z]+ " + regexp.QuoteMeta(r.Pattern) + "[^a-z]").MatchString(page) {
			t.Errorf("docs/admin.md does not have %s", r.Pattern)
		}
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (error|warning) \\|").FindAllStringSubmatch(page, -1) {
		found[m[1]] = m[2]
	}
	sources, err := filepath.Glob("module/lint*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no lint: %v", err)
	}
	n := 0
	for _, file := range sources {
		for _, m := range regexp.MustCompile(`Code: "([a-z_]+)", Severity: Lint(Error|Warning)`).FindAllStringSubmatch(text(t, file), -1) {
			n++
			if found[m[1]] != strings.ToLower(m[2]) {
				t.Errorf("docs/admin.md says of %s '%s', the code %s", m[1], found[m[1]], m[2])
			}
		}
	}
	if n != len(found) {
		t.Errorf("docs/admin.md lists %d findings, the code has %d", len(found), n)
	}
}
