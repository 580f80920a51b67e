package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestFetchSite(t *testing.T) {
	t.Parallel()
	from := &Page{URL: "http://127.0.0.1:1/page"}
	for _, tc := range []struct {
		name string
		r    Request
		want string
	}{
		{"typed", Request{URL: "http://a/"}, "none"},
		{"same origin", Request{URL: "http://127.0.0.1:1/x", From: from}, "same-origin"},
		{"other port", Request{URL: "http://127.0.0.1:2/x", From: from}, "same-site"},
		{"other host", Request{URL: "http://localhost:1/x", From: from}, "cross-site"},
		{"back again by another site", Request{URL: "http://127.0.0.1:1/x", From: from, chain: []string{"http://b/"}}, "cross-site"},
	} {
		if got := fetchSite(tc.r); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestJarKeepsWhatABrowserKeeps(t *testing.T) {
	t.Parallel()
	plain, _ := url.Parse("http://127.0.0.1:1/a/b")
	tls, _ := url.Parse("https://127.0.0.1/")
	for _, tc := range []struct {
		name, set, want string
		from            *url.URL
	}{
		{"plain", "a=1", "a=1", plain},
		{"another port of the host", "a=1; Path=/", "a=1", plain},
		{"deeper path", "a=1; Path=/a/b/c", "", plain},
		{"path is no prefix of letters", "a=1; Path=/a/bb", "", plain},
		{"__Host- over http", "__Host-a=1; Secure; Path=/", "", plain},
		{"__Host- with a path", "__Host-a=1; Secure; Path=/a", "", tls},
		{"__Host-", "__Host-a=1; Secure; Path=/", "__Host-a=1", tls},
		{"gone", "a=1; Max-Age=0", "", plain},
		{"long gone", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "", plain},
	} {
		j := &Jar{}
		h := http.Header{"Set-Cookie": {tc.set}}
		j.Set(tc.from, (&http.Response{Header: h}).Cookies())
		if got := j.header(tc.from, http.MethodGet, "none"); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestJarAndSameSite(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("http://127.0.0.1:1/")
	for _, tc := range []struct {
		attribute, method, site string
		want                    bool
	}{
		{"Lax", http.MethodGet, "cross-site", true},
		{"Lax", http.MethodPost, "cross-site", false},
		{"Lax", http.MethodPost, "same-site", true},
		{"Strict", http.MethodGet, "cross-site", false},
		{"Strict", http.MethodGet, "same-origin", true},
		{"None", http.MethodPost, "cross-site", true},
	} {
		j := &Jar{}
		j.Set(u, (&http.Response{Header: http.Header{"Set-Cookie": {"a=1; Path=/; SameSite=" + tc.attribute}}}).Cookies())
		if got := j.header(u, tc.method, tc.site) != ""; got != tc.want {
			t.Errorf("%s %s %s: sent %v, want %v", tc.attribute, tc.method, tc.site, got, tc.want)
		}
	}
}

func TestFormsAndRedirects(t *testing.T) {
	t.Parallel()
	at := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "/form?x=1", http.StatusSeeOther)
		case "/form":
			fmt.Fprint(w, `<form method=post action=/post><input type=hidden name=t value="&lt;1&gt;"><input name=user>
<input type=checkbox name=no><button name=go value=yes>Go</button></form>`)
		case "/post":
			_ = r.ParseForm()
			fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.PostForm.Encode(), r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Mode"))
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusSeeOther)
		}
	})
	b := New()
	defer b.Close()
	p, err := b.Open(at + "/")
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "/form?x=1" || len(b.Hops) != 2 {
		t.Fatalf("at %s by %q", p.URL, b.Hops)
	}
	f, err := p.FormWith("user")
	if err != nil || len(f.Buttons) != 1 || f.Buttons[0] != (Button{"go", "yes", "Go"}) {
		t.Fatalf("form %+v, %v", f, err)
	}
	if p, err = p.Fill("user", "a b"); err != nil {
		t.Fatal(err)
	}
	if want := "POST t=%3C1%3E&user=a+b " + at + " same-origin navigate"; p.Body != want {
		t.Errorf("got  %s\nwant %s", p.Body, want)
	}
	if _, err := b.Open(at + "/loop"); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a loop: %v", err)
	}
	if _, err := p.Fill("user", "x"); err == nil {
		t.Error("filled a form that is not there")
	}
}
