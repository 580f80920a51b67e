package module_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(oldSystem{}) }

// oldSystem is a dialect whose old system ended sessions at addresses of the
// application and left a cookie.
type oldSystem struct {
	// Clear is the cookie it left.
	Clear string `json:"clear,omitempty"`
}

func (oldSystem) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.oldsystem", New: func() caddy.Module { return new(oldSystem) }}
}
func (*oldSystem) Owned() []string      { return []string{"OLD_USER"} }
func (*oldSystem) PerRequest() []string { return nil }
func (*oldSystem) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	return w.Set("OLD_USER", []string{f.User.Name}, flows.HeaderOptions{})
}

func (o *oldSystem) Leave() flows.Leave {
	return flows.Leave{
		Paths:   []flows.LeavePath{{Path: "/old/signoff"}, {Path: "*.fcc", Query: "smLogout=true"}, {Path: "/both/*", Query: "bye"}},
		Cookies: []string{"OLDSESSION", o.Clear},
	}
}

func (o *oldSystem) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	o.Clear = "OLDTRACK"
	for d.Next(); d.NextArg(); {
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		d.NextArg()
		o.Clear = d.Val()
	}
	return nil
}

var typed = []string{"Accept", "text/html", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

// cleared reports whether an answer clears a cookie: of the host, or of a domain.
func cleared(cookies []string, name, domain string) bool {
	return slices.ContainsFunc(cookies, func(c string) bool {
		return strings.HasPrefix(c, name+"=;") && strings.Contains(c, "Max-Age=0") && strings.Contains(c, "Path=/") &&
			strings.Contains(c, "Domain=") == (domain != "") &&
			(domain == "" || strings.Contains(c, "Domain="+domain))
	})
}

func TestB14LogoutAddressesOfADialect(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders oldsystem\n}\nreverse_proxy {APP}")
	ticket := fmt.Sprintf("sallyport-%d", g.port)
	for path, ends := range map[string]bool{
		"/old/signoff": true, "/old/signoff?x=1": true, "/OLD/signoff": true,
		"/login/form.fcc?x=1&SMLOGOUT=TRUE": true, "/both/x?BYE": true,
		"/old/signoff/more": false, "/login/form.fcc": false, "/login/form.fcc?smlogout=false": false, "/both/x": false, "/other?smlogout=true": false,
	} {
		t.Run(path, func(t *testing.T) {
			b := g.signedIn("/a", "alice", "alicepw")
			c := ticketOf(t, g, b)
			cookie := c.Name + "=" + c.Value + "; OLDSESSION=of-the-application"
			seen := len(g.app.requests())
			p := g.raw(http.MethodGet, path, "", append([]string{"Cookie", cookie}, typed...)...)
			want(t, p, http.StatusOK)
			got := g.app.requests()[seen:]
			if !ends {
				if len(got) != 1 || !strings.Contains(got[0], "OLD_USER: alice") || len(p.Header["Set-Cookie"]) != 0 {
					t.Errorf("the application got %q, cookies %q", got, p.Header["Set-Cookie"])
				}
				want(t, g.get("/a", cookie), http.StatusOK)
				return
			}
			if !p.Has("igned out") || len(got) != 0 {
				t.Errorf("the application got %q:\n%s", got, p.Text())
			}
			for _, name := range []string{ticket, "OLDSESSION", "OLDTRACK"} {
				if !cleared(p.Header["Set-Cookie"], name, "") {
					t.Errorf("%s is not cleared: %q", name, p.Header["Set-Cookie"])
				}
			}
			want(t, g.get("/a", cookie), http.StatusSeeOther)
		})
	}
	t.Run("our own address clears them, too", func(t *testing.T) {
		c := ticketOf(t, g, g.signedIn("/a", "alice", "alicepw"))
		p := g.raw(http.MethodGet, "/.identity/logout", "", append([]string{"Cookie", c.Name + "=" + c.Value}, typed...)...)
		if !cleared(p.Header["Set-Cookie"], "OLDSESSION", "") {
			t.Errorf("cookies: %q", p.Header["Set-Cookie"])
		}
	})
	t.Run("under the parent domain", func(t *testing.T) {
		if err := g.load(people(t)+"session {\ndomain example.test\n}\n", "protect {\nheaders oldsystem\n}\nreverse_proxy {APP}"); err != nil {
			t.Fatal(err)
		}
		p := g.raw(http.MethodPost, "/.identity/logout", "x=y", "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded")
		for _, domain := range []string{"", "example.test"} {
			if !cleared(p.Header["Set-Cookie"], "OLDSESSION", domain) {
				t.Errorf("domain %q: %q", domain, p.Header["Set-Cookie"])
			}
		}
	})
	for _, name := range []string{"sallyport", "__Host-sallyport-443", "a b", "x=y"} {
		if err := g.load(people(t), "protect {\nheaders oldsystem {\nclear \""+name+"\"\n}\n}\nreverse_proxy {APP}"); err == nil {
			t.Errorf("a dialect may clear %q", name)
		}
	}
}

// Who may end a session at an address of the application: the person, here.
func TestO7LogoutAddressOfTheApplication(t *testing.T) {
	g := start(t, people(t), "protect {\nheaders siteminder\nrequire /denied/* `false`\nlogout /bye\nlogout /pass pass\nlogout /denied/bye pass\npublic /pass\n}\nreverse_proxy {APP}")
	b := g.signedIn("/a", "alice", "alicepw")
	c := ticketOf(t, g, b)
	cookie := []string{"Cookie", c.Name + "=" + c.Value, "Accept", "text/html"}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, path := range []string{"/bye", "/pass", "/denied/bye"} {
		for name, tc := range map[string]struct {
			method string
			h      []string
		}{
			"image of another site":  {http.MethodGet, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}},
			"link of another site":   {http.MethodGet, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
			"sibling host":           {http.MethodGet, []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
			"old browser, no site":   {http.MethodGet, nil},
			"old browser, elsewhere": {http.MethodGet, []string{"Referer", "https://evil.example/"}},
			"looking ahead":          {http.MethodGet, []string{"Sec-Fetch-Site", "same-origin", "Sec-Purpose", "prefetch;prerender"}},
			"form of another site":   {http.MethodPost, append([]string{"Sec-Fetch-Site", "cross-site"}, form...)},
			"form of nowhere":        {http.MethodPost, append([]string{"Origin", "null"}, form...)},
			"form without an origin": {http.MethodPost, form},
			"HEAD of our own":        {http.MethodHead, []string{"Sec-Fetch-Site", "same-origin"}},
			"HEAD of another site":   {http.MethodHead, []string{"Sec-Fetch-Site", "cross-site"}},
			"another method":         {http.MethodPut, []string{"Sec-Fetch-Site", "same-origin"}},
		} {
			seen, body := len(g.app.requests()), ""
			if tc.method == http.MethodPost {
				body = "x=y"
			}
			p := g.raw(tc.method, path, body, append(slices.Clone(cookie), tc.h...)...)
			if p.Status != http.StatusOK || len(p.Header["Set-Cookie"]) != 0 || len(g.app.requests()) != seen {
				t.Errorf("%s %s: %d, cookies %q, the application was asked: %v", path, name, p.Status, p.Header["Set-Cookie"], len(g.app.requests()) != seen)
			}
			if tc.method == http.MethodHead && p.Body != "" || tc.method != http.MethodHead && !p.Has(`action="/.identity/logout"`) {
				t.Errorf("%s %s: not asked back:\n%s", path, name, p.Body)
			}
			want(t, g.get("/a", cookie[1]), http.StatusOK)
		}
	}
	for _, path := range []string{"/bye", "/pass", "/denied/bye"} {
		for name, tc := range map[string]struct {
			method string
			h      []string
		}{
			"typed":          {http.MethodGet, typed},
			"link of ours":   {http.MethodGet, []string{"Sec-Fetch-Site", "same-origin"}},
			"old browser":    {http.MethodGet, []string{"Referer", g.url("/a")}},
			"form of ours":   {http.MethodPost, append([]string{"Sec-Fetch-Site", "same-origin"}, form...)},
			"old form, ours": {http.MethodPost, append([]string{"Origin", g.url("")}, form...)},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				c := ticketOf(t, g, g.signedIn("/a", "alice", "alicepw"))
				cookie := c.Name + "=" + c.Value
				seen, body := len(g.app.requests()), ""
				if tc.method == http.MethodPost {
					body = "x=y"
				}
				p := g.raw(tc.method, path, body, append([]string{"Cookie", cookie, "Accept", "text/html"}, tc.h...)...)
				want(t, p, http.StatusOK)
				got := g.app.requests()[seen:]
				// A rule that denies holds for the farewell, too: only the session ends.
				if passed := path == "/pass"; passed != (len(got) == 1) || !passed && !p.Has("igned out") {
					t.Errorf("the application got %q:\n%s", got, p.Text())
				}
				if !cleared(p.Header["Set-Cookie"], c.Name, "") {
					t.Errorf("cookies: %q", p.Header["Set-Cookie"])
				}
				until(t, "the end of the session", func() bool { return g.status("/a", cookie) == http.StatusUnauthorized })
			})
		}
	}
	// Nobody signs in to sign out; a program hears the same.
	want(t, g.get("/bye", ""), http.StatusOK)
	if p := g.get("/bye", cookie[1][:len(cookie[1])-1]+"x"); p.Status != http.StatusOK || !p.Has("igned out") {
		t.Errorf("a session that is over: %d\n%s", p.Status, p.Text())
	}
}
