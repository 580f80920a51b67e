package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// embedded are the names of the pages that an operator may replace.
func embedded(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("templates/*.html")
	if err != nil || len(paths) < 8 {
		t.Fatalf("templates: %v %v", paths, err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// replaced is the embedded file with a mark of the operator's own.
func replaced(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("templates", name))
	if err != nil {
		t.Fatal(err)
	}
	if name == frame {
		return strings.Replace(string(b), "<main", "<p>house style</p><main", 1)
	}
	return strings.Replace(string(b), `{{define "main"}}`, `{{define "main"}}<p>house style</p>`, 1)
}

func TestEachTemplateCanBeReplaced(t *testing.T) {
	t.Parallel()
	for _, name := range embedded(t) {
		s := load(t, Options{Templates: filepath.Dir(write(t, name, replaced(t, name)))})
		for _, v := range samples() {
			got := strings.Contains(get(s, v).Body.String(), "<p>house style</p>")
			if want := name == frame || name == file(v.kind()); got != want {
				t.Errorf("%s on %s: replaced %v, want %v", name, v.kind(), got, want)
			}
		}
	}
}

func TestABrokenTemplateIsNamedAtLoad(t *testing.T) {
	t.Parallel()
	for _, name := range embedded(t) {
		broken := map[string]string{
			"unclosed":      replaced(t, name) + "{{if",
			"unknown field": strings.Replace(replaced(t, name), "house style", "{{.Nothing}}", 1),
			"unknown page":  strings.Replace(replaced(t, name), "house style", `{{template "other"}}`, 1),
			"unsafe place":  strings.Replace(replaced(t, name), "house style", `<a href={{if .Text}}"{{end}}x>`, 1),
		}
		if name == frame {
			broken["without our script"] = strings.Replace(replaced(t, name), "{{- .Script}}", "", 1)
		}
		if sc := scripts[kindOf(name)]; sc != nil && sc.needs != "" {
			broken["without what our script needs"] = strings.Replace(replaced(t, name), `id="`+sc.needs+`"`, "", 1)
		}
		for what, text := range broken {
			_, err := New(Options{Templates: filepath.Dir(write(t, name, text))})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: want an error with the file's name, got %v", name, what, err)
			}
		}
	}
}

func kindOf(name string) Kind {
	for _, k := range kinds {
		if file(k) == name {
			return k
		}
	}
	return ""
}

// insolent is what a template could try.
const insolent = `<meta http-equiv="Content-Security-Policy" content="default-src * 'unsafe-inline'">
<script>document.title = "ran";</script><script nonce="{{.Nonce}}">document.title = "ran";</script>
<img src="/missing" onerror="document.title = 'ran'"><a id="js" href="javascript:document.title='ran'">x</a>`

var nonces = regexp.MustCompile(`nonce-[A-Z2-7]+`)

func TestB7ATemplateCannotWeakenThePolicy(t *testing.T) {
	t.Parallel()
	theirs, ours := insolentPages(t), load(t, Options{})
	for _, v := range samples() {
		got, want := get(theirs, v).Header(), get(ours, v).Header()
		for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "Cache-Control", "Referrer-Policy", "X-Content-Type-Options"} {
			if g, w := nonces.ReplaceAllString(got.Get(name), ""), nonces.ReplaceAllString(want.Get(name), ""); g != w {
				t.Errorf("%s: %s %q, want %q", v.kind(), name, g, w)
			}
		}
	}
}

func insolentPages(t *testing.T) *Set {
	t.Helper()
	dir := t.TempDir()
	for _, name := range embedded(t) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(replaced(t, name), "<p>house style</p>", insolent, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, Options{Templates: dir})
}
