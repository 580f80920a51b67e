package module_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// address is one line of testdata/redirects.txt.
type address struct{ text, home string }

func addresses(t testing.TB, host string) []address {
	t.Helper()
	b, err := os.ReadFile("testdata/redirects.txt")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("{HOST}", host, "{ORIGIN}", "http://"+host)
	var all []address
	homes := 0
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		text, err := strconv.Unquote(`"` + f[min(1, len(f)-1)] + `"`)
		if err != nil || len(f) != map[string]int{"away": 2, "home": 3}[f[0]] {
			t.Fatalf("testdata/redirects.txt: %q: %v", line, err)
		}
		a := address{text: here.Replace(text)}
		if f[0] == "home" {
			homes, a.home = homes+1, f[2]
		}
		all = append(all, a)
	}
	if len(all) < 300 || homes < 40 {
		t.Fatalf("only %d addresses, %d of them must work", len(all), homes)
	}
	return all
}

// judge says what is wrong with a Location that an address led to.
func (a address) judge(base landing, location string) string {
	at := browse(base, location)
	path, err := url.PathUnescape(at.path)
	switch {
	case at.host != base.host:
		return "leads to another host"
	case strings.ContainsAny(location, "\r\n\x00"):
		return "has a control character"
	case err != nil || path == "/.identity" || strings.HasPrefix(path, "/.identity/"):
		return "leads to a page of ours"
	case a.home != "" && location != base.host+a.home:
		return "does not lead to " + a.home
	}
	return ""
}

func (g *gateway) landing(path string) landing {
	return landing{fmt.Sprintf("http://127.0.0.1:%d", g.port), path, ""}
}

// B1: whatever is asked for, who signs in lands on this host, as a browser reads it.
func TestB1NoOpenRedirect(t *testing.T) {
	g := start(t, people(t), plainSite)
	base := g.landing("/.identity/login")
	cookie := g.aliceCookie()
	for i, a := range addresses(t, strings.TrimPrefix(base.host, "http://")) {
		login := "/.identity/login?" + url.Values{"return_to": {a.text}}.Encode()
		// Who is signed in goes on at once.
		p := g.raw(http.MethodGet, login, "", "Cookie", cookie, "Accept", "text/html")
		if why := a.judge(base, p.Header.Get("Location")); p.Status != http.StatusSeeOther || why != "" {
			t.Errorf("%q: %s: %d %q", a.text, why, p.Status, p.Header.Get("Location"))
		}
		if i%11 != 0 { // the same through a whole login, for some
			continue
		}
		b := browser.New()
		f, err := g.open(b, g.url(login)).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		p = g.submitOnly(b, f, "alice", "alicepw")
		if why := a.judge(base, p.Header.Get("Location")); p.Status != http.StatusSeeOther || why != "" {
			t.Errorf("%q, through a login: %s: %d %q", a.text, why, p.Status, p.Header.Get("Location"))
		}
		b.Close()
	}
}

// B1: a Referer becomes a link of the answer, for programs and for forms.
func TestB1NoRefererLeadsAway(t *testing.T) {
	g := start(t, people(t), plainSite)
	base := g.landing("/.identity/login")
	judge := func(a address, link string) {
		t.Helper()
		u, err := url.Parse(link)
		if err != nil || u.Scheme != "" || u.Host != "" || u.Path != "/.identity/login" {
			t.Errorf("%q: the link is %q", a.text, link)
			return
		}
		if why := (address{text: a.text}).judge(base, u.Query().Get("return_to")); why != "" {
			t.Errorf("%q: %s: %q", a.text, why, link)
		}
	}
	form := regexp.MustCompile(`href="(/\.identity/login[^"]*)"`)
	for _, a := range addresses(t, strings.TrimPrefix(base.host, "http://")) {
		if strings.ContainsAny(a.text, "\x00\x01\x08\x0b\x0c\x1b\x1f\r\n\x7f") {
			continue // no header holds them
		}
		var body struct {
			URL string `json:"login_url"`
		}
		p := g.raw(http.MethodGet, "/a", "", "Referer", a.text, "Sec-Fetch-Mode", "cors")
		if err := json.Unmarshal([]byte(p.Body), &body); err != nil || p.Status != http.StatusUnauthorized {
			t.Fatalf("%q: %d %v", a.text, p.Status, err)
		}
		judge(a, body.URL)
		p = g.raw(http.MethodPost, "/a", "x=1", "Referer", a.text, "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
		m := form.FindStringSubmatch(p.Body)
		if p.Status != http.StatusUnauthorized || m == nil {
			t.Fatalf("%q: %d\n%s", a.text, p.Status, p.Body)
		}
		judge(a, html.UnescapeString(m[1]))
	}
	own := g.url("/form?step=2")
	if p := g.raw(http.MethodGet, "/a", "", "Referer", own, "Sec-Fetch-Mode", "cors"); !strings.Contains(p.Body, "return_to=%2Fform%3Fstep%3D2") {
		t.Errorf("%s is forgotten: %s", own, p.Body)
	}
}

// B1: no other parameter of our own addresses leads anywhere, in a Location or a link.
func TestB1NoParameterLeadsAway(t *testing.T) {
	op := newOP(t)
	g := start(t, people(t)+asked(t, "op", op), plainSite)
	base := g.landing("/.identity/")
	cookie := ""
	b := newBrowser(t)
	f, err := g.open(b, g.url("/.identity/login?provider=corp&return_to=/a")).FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	want(t, g.submitOnly(b, f, "alice", "alicepw"), http.StatusSeeOther)
	cookie = g.cookies(b)
	names := []string{"return_to", "redirect_uri", "post_logout_redirect_uri", "state", "RelayState", "target_link_uri", "iss", "error_uri", "next", "url", "rd", "back", "saved", "resume", "h", "p", "provider"}
	for i, a := range addresses(t, strings.TrimPrefix(base.host, "http://")) {
		q := url.Values{}
		for _, n := range names {
			q.Set(n, a.text)
		}
		q.Set("error", "access_denied")
		for j, path := range []string{"/.identity/callback/op", "/.identity/flow", "/.identity/logout", "/.identity/nothing"} {
			if (i+j)%2 == 0 {
				continue
			}
			h := []string{"Accept", "text/html", "Sec-Fetch-Site", "cross-site"}
			if i%4 < 2 {
				h = append(h, "Cookie", cookie)
			}
			p := g.raw(http.MethodGet, path+"?"+q.Encode(), "", h...)
			if l := p.Header.Get("Location"); l != "" && browse(base, l).host != base.host {
				t.Errorf("%s %q leads to %q", path, a.text, l)
			}
			for _, l := range links(p.Body) {
				if l != "data:," && browse(base, l).host != base.host { // the icon of our pages
					t.Errorf("%s %q has a link to %q", path, a.text, l)
				}
			}
		}
	}
}

// links are all addresses that a page leads to, by itself or by a click.
func links(page string) (all []string) {
	z := html.NewTokenizer(bytes.NewReader([]byte(page)))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, attr := range z.Token().Attr {
				switch attr.Key {
				case "href", "action", "formaction", "src":
					all = append(all, attr.Val)
				}
			}
		}
	}
}
