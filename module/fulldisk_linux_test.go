package module_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// C11: the disk of the trail is full. Nobody gets in, nobody is kept from leaving, who is
// in stays in, and nothing breaks; with room again it goes on, and the logout is there.
func TestC11FullDiskKeepsNobodyIn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	file, ballast := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "ballast")
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
	if err := fill64k(ballast, file); err != nil {
		t.Fatal(err)
	}
	want(t, g.submitOnly(tab, f, "bob", "bobpw"), http.StatusServiceUnavailable)
	want(t, g.send(b, browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: page}), http.StatusOK)
	if p := g.open(b, g.url("/a")); !p.Has("password") {
		t.Errorf("still in: %s", p.Text())
	}
	want(t, g.open(stays, g.url("/a")), http.StatusOK)
	if text, _ := os.ReadFile(file); !strings.HasSuffix(string(text), "\n") || strings.Contains(string(text), `"kind":"logout"`) {
		t.Errorf("half a line, or room: %q", text)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if e := g.events("logout", 1); e[0]["user"] != "corp:alice" {
		t.Errorf("%v", e)
	}
	g.signedIn("/b", "bob", "bobpw")
}

// fill64k leaves no room, in the last block of the trail's file either.
func fill64k(ballast, file string) error {
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if rest := 4096 - info.Size()%4096; rest < 4096 { // what is there stays there: lines begin behind it
		return padding(file, int(rest))
	}
	return nil
}

// padding fills a file's last block with a line of blanks, which nobody verifies here.
func padding(file string, n int) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strings.Repeat(" ", n-1) + "\n")
	return err
}
