package sallyport_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// written are the pages that people wrote, not the generator.
func written(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

func text(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	fence = regexp.MustCompile("(?s)\n```caddyfile\n(.*?)\n```\n")
	envs  = regexp.MustCompile(`\{(?:\$|env\.)([A-Z_]+)\}`)
)

// TestDocsSnippetsAdapt: what a page tells an operator to write is understood,
// word for word. A snippet that is a part of a Caddyfile gets the rest.
func TestDocsSnippetsAdapt(t *testing.T) {
	n := 0
	for _, page := range written(t) {
		prose := text(t, page)
		if head, rest, ok := strings.Cut(prose, docBegin); ok { // grammars, which nobody can adapt
			_, tail, _ := strings.Cut(rest, docEnd)
			prose = head + tail
		}
		for i, m := range fence.FindAllStringSubmatch(prose, -1) {
			n++
			t.Run(page+" "+strconv.Itoa(i+1), func(t *testing.T) {
				for _, name := range envs.FindAllStringSubmatch(m[1], -1) {
					t.Setenv(name[1], "something")
				}
				whole := complete(m[1])
				_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(whole), map[string]any{"filename": page})
				if err != nil {
					t.Errorf("%v\n%s", err, whole)
				}
				for _, w := range warnings {
					if !strings.Contains(w.Message, "not formatted") {
						t.Errorf("warning: %s", w)
					}
				}
			})
		}
	}
	if n < 8 {
		t.Errorf("only %d snippets found", n)
	}
}

// TestPresetsTakeTwelveLines: the whole Caddyfile on the page of a preset is short,
// and is loaded as it stands there, but for where the secret is.
func TestPresetsTakeTwelveLines(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, preset := range []string{"entra", "okta", "google"} {
		page := "docs/providers/" + preset + ".md"
		_, tail, _ := strings.Cut(text(t, page), docEnd)
		m := fence.FindStringSubmatch(tail)
		if m == nil || !strings.HasPrefix(m[1], "{\n\tidentity {\n") || !strings.Contains(m[1], " "+preset+" {") {
			t.Fatalf("%s begins with no whole Caddyfile of it", page)
		}
		n := 0
		for line := range strings.Lines(m[1]) {
			if l := strings.TrimSpace(line); l != "" && l != "}" { // closing braces say nothing
				n++
			}
		}
		if n > 12 {
			t.Errorf("%s: %d lines", page, n)
		}
		t.Setenv("CLIENT_ID", "gateway")
		t.Setenv("PRESET_SECRET", "a secret of this test")
		whole := strings.Replace(m[1], "{file./run/secrets/"+preset+"}", "{env.PRESET_SECRET}", 1)
		raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(whole), map[string]any{"filename": page})
		if err != nil {
			t.Fatal(err)
		}
		var config caddy.Config
		if err := json.Unmarshal(raw, &config); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&config); err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
}

// complete makes a Caddyfile of a snippet by its first word.
func complete(snippet string) string {
	const provider = "provider company oidc {\nissuer https://login.example.com\nclient_id a\nclient_secret {file./run/secrets/company}\n}\n"
	first := strings.Fields(snippet)[0]
	switch {
	case first == "{" && strings.Contains(snippet, "\tidentity {"):
		if strings.Contains(snippet, "\tprovider ") {
			return snippet
		}
		return strings.Replace(snippet, "\tidentity {\n", "\tidentity {\n"+provider, 1)
	case first == "{":
		return strings.Replace(snippet, "{\n", "{\nidentity {\n"+provider+"}\n", 1)
	case first == "identity" && strings.Contains(snippet, "\tprovider company "):
		return "{\n" + snippet + "\n}\n"
	case first == "identity":
		return "{\n" + strings.Replace(snippet, "identity {\n", "identity {\n"+provider, 1) + "\n}\n"
	case first == "provider":
		return "{\nidentity {\n" + snippet + "\n}\n}\n"
	case first == "directory":
		return "{\nidentity {\n" + provider + snippet + "\n}\n}\n"
	case strings.Contains(first, "."): // a site
		return "{\nidentity {\n" + provider + "}\n}\n" + snippet + "\n"
	}
	return "{\nidentity {\n" + provider + "}\n}\npayroll.example.com {\n" + snippet + "\nreverse_proxy 10.0.0.7:8080\n}\n"
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	code    = regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]*`")
)

// TestLinksLeadSomewhere: no page of ours names a file or heading that is not there.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages := written(t)
	more, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, more...) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text(t, page), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := filepath.Join(filepath.Dir(page), m[1])
			if m[1] == "" {
				to = page
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if m[2] != "" && !slices.Contains(anchors(t, to), m[2]) {
				t.Errorf("%s: %s has no heading %s", page, to, m[2])
			}
		}
	}
}

// anchors are the headings of a page as GitHub links to them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text(t, page), -1) {
		slug := strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")
		out = append(out, "#"+regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(slug, ""))
	}
	return out
}

// kinds are the folders of docs/ in the order of the index, as operators call them.
var kinds = []struct{ dir, title string }{
	{"providers", "Who vouches for people"},
	{"directories", "Where more is known of people"},
	{"steps", "Steps of a flow"},
	{"factors", "Second factors"},
	{"messengers", "How codes and notices reach people"},
	{"headers", "Headers to the application"},
	{"stores", "Where sessions are kept"},
	{"audit", "Where the trail goes"},
}

// TestIndexPageIsWhole: docs/README.md leads to every page and every example.
// The list of the guests' pages is written by -update, as they are.
func TestIndexPageIsWhole(t *testing.T) {
	const page = "docs/README.md"
	index := text(t, page)
	head, rest, begun := strings.Cut(index, docBegin)
	_, tail, ended := strings.Cut(rest, docEnd)
	if !begun || !ended {
		t.Fatalf("%s has no generated part", page)
	}
	fresh := head + docBegin + listOfPages(t) + docEnd + tail
	if fresh != index && *update {
		if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if fresh != index {
		t.Errorf("%s lacks pages; run go test -run Page -update .", page)
	}
	for _, pattern := range []string{"docs/*.md", "examples/*/README.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			to, err := filepath.Rel("docs", p)
			if err != nil {
				t.Fatal(err)
			}
			if p != page && !strings.Contains(fresh, "]("+strings.TrimSuffix(to, "README.md")+")") {
				t.Errorf("%s does not lead to %s", page, p)
			}
		}
	}
}

func listOfPages(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n")
	listed := map[string]bool{}
	for _, k := range kinds {
		listed[k.dir] = true
		pages, err := filepath.Glob("docs/" + k.dir + "/*.md")
		if err != nil {
			t.Fatal(err)
		}
		var links []string
		for _, p := range pages {
			name := strings.TrimSuffix(filepath.Base(p), ".md")
			if name == "README" {
				name = "all of them"
			}
			links = append(links, "["+name+"]("+k.dir+"/"+filepath.Base(p)+")")
		}
		b.WriteString("- " + k.title + ": " + strings.Join(links, ", ") + "\n")
	}
	for kind := range inlineKeys {
		if !listed[kind] {
			t.Errorf("docs/%s is not in the index: add it to kinds", kind)
		}
	}
	return b.String() + "\n"
}
