package sallyport_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The tests that SECURITY.md promises exist: a table of names must not rot.
func TestSecurityTestsExist(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, name := range testSources(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(src, -1) {
			exists[string(m[1])] = true
		}
	}
	promised := regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w+)`").FindAllStringSubmatch(string(doc), -1)
	if len(promised) < 40 {
		t.Fatalf("SECURITY.md names only %d tests", len(promised))
	}
	for _, m := range promised {
		if !exists[m[1]] {
			t.Errorf("SECURITY.md names %s, which does not exist", m[1])
		}
	}
}

func testSources(t *testing.T) []string {
	t.Helper()
	var list []string
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
			switch {
			case e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "testdata":
				walk(name)
			case strings.HasSuffix(name, "_test.go"):
				list = append(list, name)
			}
		}
	}
	walk(".")
	return list
}
