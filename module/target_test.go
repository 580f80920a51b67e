package module_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Targets that have no path for the rules, but one for the application (P8).
func TestP8TargetsWithoutAPath(t *testing.T) {
	const rules = "headers siteminder\n%srequire /admin/* admins\nrequire / admins\nrequire /* `request.method == \"GET\" || \"admins\" in user.groups`\n}\nreverse_proxy {APP}"
	g := start(t, people(t)+adminPolicy, plainSite)
	for _, strict := range []string{"", "strict_paths off\n"} {
		if err := g.load(people(t)+adminPolicy, "protect {\n"+fmt.Sprintf(rules, strict)); err != nil {
			t.Fatal(err)
		}
		bob, alice := g.cookieOf("bob"), g.cookieOf("alice")
		here := fmt.Sprintf("127.0.0.1:%d", g.port)
		for _, c := range []struct {
			line       string
			bob, alice int
		}{
			{"GET x:http://app/admin/x", 400, 400},
			{"GET http:http://app/admin/x", 400, 400},
			{"GET x:admin/x", 400, 400},
			{"GET x:%2fadmin", 400, 400},
			{"GET http:admin", 400, 400},
			{"GET admin:80", 400, 400},
			{"GET *", 400, 400},
			{"DELETE *", 400, 400},
			{"CONNECT " + here, 400, 400},
			{"CONNECT *", 200, 200}, // Caddy's empty answer: the star is a host no site has
			{"GET http://" + here, 403, 200},
			{"GET http://" + here + "?a=b", 403, 200},
			{"POST http://" + here, 403, 200},
			{"DELETE http://" + here + "?a", 403, 200},
			{"DELETE /x", 403, 200},
			{"GET /x", 200, 200},
		} {
			for cookie, want := range map[string]int{bob: c.bob, alice: c.alice} {
				mark := g.app.count()
				s := g.sendRaw(fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", c.line, here, cookie))
				got := g.app.since(mark)
				if s != want || (len(got) > 0) != (want == http.StatusOK && c.line != "CONNECT *") {
					t.Errorf("%s%s: want %d, got %d; the application saw %q", strict, c.line, want, s, got)
				}
			}
		}
	}
}

// A protect with a matcher of its own is no way in for strangers either.
func TestP8TargetsWithoutAPathAgainstTheMatcherOfProtect(t *testing.T) {
	for _, site := range []string{
		"@admin path / /admin /admin/*\nprotect @admin {\nheaders siteminder\n}\nreverse_proxy {APP}",
		"rewrite /never /b\n@admin path / /admin /admin/*\nprotect @admin {\nheaders siteminder\n}\nhandle /admin/* {\nrewrite * /b\n}\nreverse_proxy {APP}",
		"protect off\n@admin path / /admin /admin/*\nhandle @admin {\nprotect {\nheaders siteminder\n}\nreverse_proxy {APP}\n}\nhandle {\nreverse_proxy {APP}\n}",
	} {
		g := start(t, people(t), site)
		for target, open := range map[string]bool{
			"x:http://app/admin/x": false, "http:http://app/": false, "x:admin/x": false, "*": false,
			fmt.Sprintf("http://127.0.0.1:%d", g.port): false, fmt.Sprintf("http://127.0.0.1:%d?a", g.port): false, "/": false, "/admin": false, "/b": true,
		} {
			mark := g.app.count()
			g.sendRaw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", target, g.port))
			if got := g.app.since(mark); (len(got) > 0) != open {
				t.Errorf("%s: %s: the application saw %q", strings.SplitN(site, "\n", 2)[0], target, got)
			}
		}
	}
}

// An application that takes its path from a header would not do what was judged.
func TestP7NoHeaderNamesAnotherPath(t *testing.T) {
	g := start(t, people(t)+adminPolicy, "protect {\nheaders siteminder\npublic /public/*\nrequire /admin/* admins\n}\nreverse_proxy {APP}")
	bob := g.cookieOf("bob")
	for _, path := range []string{"/public/x", "/a"} {
		for _, line := range []string{
			"X-Original-URL: /admin/x", "X-Rewrite-URL: /admin/x", "x-original-url: /admin/x", "X_Original_URL: /admin/x", "X.Rewrite.Url: /admin/x", "X~Original~URL: /admin/x",
			"X-Original-URL: /admin/x\r\nX-Rewrite-URL: /admin/x\r\nConnection: X-Original-URL", "Transfer-Encoding: chunked\r\nTrailer: X-Original-URL\r\n\r\n0\r\nX-Original-URL: /admin/x",
		} {
			mark := g.app.count()
			s := g.sendRaw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nCookie: %s\r\n%s\r\n\r\n", path, g.port, bob, line))
			got := g.app.since(mark)
			if s != http.StatusOK || len(got) != 1 || strings.Contains(got[0], "/admin") {
				t.Errorf("%s %q: %d, the application saw %q", path, line, s, got)
			}
		}
	}
}
