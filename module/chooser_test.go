package module_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

var offered = regexp.MustCompile(`name="provider" value="([a-z]+)"[^>]*><span>[^<]*</span>(<small>Last used here</small>)?`)

// offers are the providers of the chooser, in order; the one of the last time ends
// with a star.
func offers(p *browser.Page) (list []string) {
	for _, m := range offered.FindAllStringSubmatch(p.Body, -1) {
		if list = append(list, m[1]); m[2] != "" {
			list[len(list)-1] += "*"
		}
	}
	return list
}

// The chooser offers first what was chosen in this browser the last time, and still
// asks: it is a wish, and what a stranger writes into the cookie is none.
func TestTheLastChoiceIsOfferedFirst(t *testing.T) {
	op := newOP(t)
	op.SetUser(person("u-alice", "alice.b")) // one name is one person's (I06)
	g := start(t, asked(t, "idp", op)+people(t), whoSite)
	b := newBrowser(t)
	first := g.open(b, g.url("/a"))
	if got := offers(first); !slices.Equal(got, []string{"idp", "corp"}) {
		t.Fatalf("at first %v\n%s", got, first.Body)
	}
	p := fill(t, fill(t, first, "provider", "corp"), "username", "alice", "password", "alicepw")
	landed(t, p, "/a", "corp:alice")
	leave := func() *browser.Page {
		t.Helper()
		g.open(b, g.url("/.identity/logout"))
		return g.open(b, g.url("/a"))
	}
	again := leave()
	if got := offers(again); !slices.Equal(got, []string{"corp*", "idp"}) {
		t.Errorf("the next time %v\n%s", got, again.Body)
	}
	landed(t, fill(t, again, "provider", "idp"), "/a", "idp:u-alice")
	if got := offers(leave()); !slices.Equal(got, []string{"idp*", "corp"}) {
		t.Errorf("after another choice %v", got)
	}
	if got := offers(g.open(newBrowser(t), g.url("/a"))); !slices.Equal(got, []string{"idp", "corp"}) {
		t.Errorf("in another browser %v", got)
	}
	name := regexp.MustCompile(`[^ ;=]+[.]last`).FindString(g.cookies(b))
	u, err := url.Parse(g.url("/.identity/flow"))
	if err != nil || name == "" {
		t.Fatal(name, err)
	}
	b.Jar.Set(u, []*http.Cookie{{Name: name, Value: "<script>", Path: "/.identity"}})
	if got := offers(g.open(b, g.url("/b"))); !slices.Equal(got, []string{"idp", "corp"}) {
		t.Errorf("with a cookie of a stranger's %v", got)
	}
}
