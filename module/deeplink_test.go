package module_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// window is a browser that says everything that a window says.
func window(t testing.TB) *browser.Browser {
	b := newBrowser(t)
	b.Header.Set("Accept-Language", "en-GB,en;q=0.9")
	return b
}

// kept is what a page of ours tells its script.
type kept struct{ link, key, back, kept string }

func keptBy(t *testing.T, p *browser.Page) kept {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		t.Fatal(err)
	}
	var k kept
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			switch a.Key {
			case "data-key":
				k.key = a.Val
				for _, b := range n.Attr {
					if b.Key == "href" {
						k.link = b.Val
					}
				}
			case "data-back":
				k.back = a.Val
			case "data-kept":
				k.kept = a.Val
			}
		}
	}
	return k
}

var oneScript = regexp.MustCompile(`script-src 'sha256-[A-Za-z0-9+/]{43}=';`)

// The page between the application and a provider that redirects: what it says,
// and where it leads with a fragment and without one.
func TestB10PageInFrontOfTheProvider(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := window(t)
	p := g.send(b, browser.Request{URL: g.url("/app/?x=1")})
	if to := p.Header.Get("Location"); p.Status != http.StatusSeeOther || !strings.HasPrefix(to, "/.identity/flow?p=") {
		t.Fatalf("want 303 into the flow, got %d to %q", p.Status, to)
	}
	p = g.open(b, g.url(p.Header.Get("Location")))
	want(t, p, http.StatusOK)
	k := keptBy(t, p)
	if k.back != "/app/?x=1" || !strings.HasPrefix(k.link, op.Issuer+"/authorize?") || !strings.Contains(k.kept, "&kept="+k.key) {
		t.Errorf("the page says %+v", k)
	}
	if !p.Has(`<noscript><meta http-equiv="refresh" content="0;url=`+html.EscapeString(k.link)+`"></noscript>`) || !oneScript.MatchString(p.Header.Get("Content-Security-Policy")) {
		t.Errorf("no way on without a script, or another script than ours: %v\n%s", p.Header, p.Body)
	}

	// Without a fragment: straight to the provider, and straight back.
	to, err := url.Parse(k.link)
	if err != nil {
		t.Fatal(err)
	}
	landed(t, g.open(b, g.answer(to).String()), "/app/?x=1", "corp:u-alice")

	// With one: the login is begun once more, and the browser asked at its end.
	other := window(t)
	k = keptBy(t, g.open(other, g.url("/app/?x=1")))
	p = g.send(other, browser.Request{URL: g.url(strings.Replace(k.kept, k.key, "AAAAAAAAAAAAAAAAAAAAAAAAAA", 1))})
	if p.Status < 300 || strings.Contains(p.Header.Get("Location"), "/authorize") {
		t.Errorf("a key of somebody else's was taken: %d to %q", p.Status, p.Header.Get("Location"))
	}
	k = keptBy(t, g.open(other, g.url("/app/?x=1")))
	p = g.open(other, g.answer(g.away(other, k.kept)).String())
	if u, err := url.Parse(p.URL); err != nil || u.Path != "/.identity/flow" || u.Query().Get("resume") != k.key || u.Query().Get("return_to") != "/app/?x=1" {
		t.Fatalf("landed at %s", p.URL)
	}
	if resumed := keptBy(t, p); resumed.key != k.key || resumed.link != "/app/?x=1" {
		t.Errorf("the last page says %+v", resumed)
	}

	// A program goes the way it went before there was such a page.
	program := newBrowser(t)
	landed(t, g.open(program, g.url("/app/?x=1")), "/app/?x=1", "corp:u-alice")
}

// B06 with fragments: a tab whose login is not needed any more finds its own place.
func TestB06EachTabItsOwnFragment(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "corp", op), whoSite)
	b := window(t)
	one, two := keptBy(t, g.open(b, g.url("/a"))), keptBy(t, g.open(b, g.url("/b")))
	first, second := g.answer(g.away(b, one.kept)), g.answer(g.away(b, two.kept))
	for _, tab := range []struct {
		back *url.URL
		key  string
	}{{second, two.key}, {first, one.key}} {
		if p := g.open(b, tab.back.String()); !strings.Contains(p.URL, "/.identity/flow?resume="+tab.key) {
			t.Errorf("landed at %s, want the address kept under %s", p.URL, tab.key)
		}
	}
}

func TestB10OurOwnFormsKeepIt(t *testing.T) {
	g := start(t, people(t), plainSite)
	for name, tc := range map[string]struct {
		kept func(key string) string
		want string
	}{
		"a fragment":      {func(key string) string { return key }, "/.identity/flow?resume="},
		"none":            {func(string) string { return "" }, "/a"},
		"somebody else's": {func(string) string { return "AAAAAAAAAAAAAAAAAAAAAAAAAA" }, "/a"},
		"two of them":     {func(key string) string { return key + "&kept=" + key }, "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			b := window(t)
			p := g.open(b, g.url("/a"))
			k := keptBy(t, p)
			if k.back != "/a" || !oneScript.MatchString(p.Header.Get("Content-Security-Policy")) {
				t.Fatalf("the form says %+v, %v", k, p.Header)
			}
			f, err := p.FormWith("username")
			if err != nil {
				t.Fatal(err)
			}
			f.Fields.Set("username", "alice")
			f.Fields.Set("password", "alicepw")
			f.Fields.Del("kept")
			p, err = b.Navigate(browser.Request{
				Method: http.MethodPost, URL: f.Action, From: p, Body: f.Fields.Encode() + "&kept=" + tc.kept(k.key),
				Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if p.Status != http.StatusOK || !strings.HasPrefix(p.Path(), tc.want) {
				t.Errorf("landed at %s with %d, want %s", p.URL, p.Status, tc.want)
			}
		})
	}
}

// The page at the end leads nowhere but to our own origin, whoever wrote its address.
func TestB1ResumeLeadsNowhereElse(t *testing.T) {
	g := start(t, people(t), plainSite)
	for to, want := range map[string]string{
		"/a?b=c": "/a?b=c", "": "/", "//evil.example": "/", "https://evil.example/": "/", "/\\evil.example": "/", "javascript:alert(1)": "/",
		"/.identity/logout": "/", g.url("/a"): "/a", "/a\"><script>": "/a%22%3E%3Cscript%3E",
	} {
		p := g.raw(http.MethodGet, "/.identity/flow?"+url.Values{"resume": {"AAAAAAAAAAAAAAAAAAAAAAAAAA"}, "return_to": {to}}.Encode(), "", "Accept", "text/html")
		want0 := kept{link: want, key: "AAAAAAAAAAAAAAAAAAAAAAAAAA"}
		if got := keptBy(t, p); p.Status != http.StatusOK || got != want0 {
			t.Errorf("%q: %d, the page says %+v, want %+v", to, p.Status, got, want0)
		}
	}
}

// B05: a login on purpose may be asked for with a long address, too, and the
// page keeps that address, not its own: it would lead in a circle.
func TestB05LongAddressOfALoginOnPurpose(t *testing.T) {
	g := start(t, people(t), plainSite)
	long := "/report?" + strings.Repeat("q", 3000)
	for _, path := range []string{long, "/.identity/login?" + url.Values{"return_to": {long}}.Encode()} {
		p := g.open(window(t), g.url(path))
		if k := keptBy(t, p); k.back != long || k.link != fmt.Sprintf("/.identity/login?return_to=%%2Freport&saved=%s", k.key) {
			t.Errorf("%.40s: the page says %.80s", path, fmt.Sprint(k))
		}
	}
}
