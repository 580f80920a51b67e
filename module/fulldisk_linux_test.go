package module_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// C11: the disk of the trail is full. Nobody gets in, nobody is kept from leaving, who is
// in stays in, and nothing breaks; with room again it goes on, and the logout is there.
func TestC11FullDiskKeepsNobodyIn(t *testing.T) { flowstest.OnFullDisk(t, fullDiskKeepsNobodyIn) }

func fullDiskKeepsNobodyIn(t *testing.T, d flowstest.Disk) {
	file := filepath.Join(d.Dir, "audit.jsonl")
	g := start(t, people(t)+"audit file "+file+"\n", plainSite)
	g.audit = file
	b, stays := g.signedIn("/a", "alice", "alicepw"), g.signedIn("/a", "bob", "bobpw")
	page := g.open(b, g.url("/a"))
	tab := browser.New()
	defer tab.Close()
	f, err := g.open(tab, g.url("/b")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	d.Fill(t, file)
	padding(t, file)
	want(t, g.submitOnly(tab, f, "bob", "bobpw"), http.StatusServiceUnavailable)
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	if p := g.open(b, g.url("/a")); !p.Has("password") {
		t.Errorf("still in: %s", p.Text())
	}
	want(t, g.open(stays, g.url("/a")), http.StatusOK)
	if text, _ := os.ReadFile(file); !strings.HasSuffix(string(text), "\n") || strings.Contains(string(text), `"kind":"logout"`) {
		t.Errorf("half a line, or room: %q", text)
	}
	d.Free(t)
	if e := g.events("logout", 1); e[0]["user"] != "corp:alice" {
		t.Errorf("%v", e)
	}
	g.signedIn("/b", "bob", "bobpw")
}

// padding fills a file's last block with a line of blanks, which nobody verifies here:
// what is there stays there, lines begin behind it.
func padding(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	rest := int(-info.Size() & 4095)
	if rest == 0 {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = f.WriteString(strings.Repeat(" ", rest-1) + "\n"); err != nil {
		t.Fatal(err)
	}
}
