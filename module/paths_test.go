package module_test

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// trick is one line of testdata/paths.txt.
type trick struct {
	path, why, readers string
	block, lax         bool
}

// taken: HTTP/2 has no absolute form, and net/http resets such a stream.
func (tr trick) taken(way string) bool { return way == "HTTP/1.1" || strings.HasPrefix(tr.path, "/") }

func tricks(t testing.TB, host string) []trick {
	t.Helper()
	b, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []trick
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 5 || f[1] != "block" && f[1] != "pass" {
			t.Fatalf("testdata/paths.txt: %q", line)
		}
		p, err := strconv.Unquote(`"` + f[0] + `"`)
		if err != nil {
			t.Fatalf("%q: %v", f[0], err)
		}
		all = append(all, trick{path: strings.ReplaceAll(p, "{HOST}", host), block: f[1] == "block", lax: f[2] == "lax", readers: f[3], why: f[4]})
	}
	if len(all) < 250 {
		t.Fatalf("only %d paths", len(all))
	}
	return all
}

// unescape decodes once, as far as it goes: not everybody refuses a broken escape.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// oldUTF8 decodes overlong forms of ASCII, as old decoders did.
func oldUTF8(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		n, r := 0, rune(0)
		switch c := s[i]; {
		case c>>5 == 0b110:
			n, r = 1, rune(c&0x1f)
		case c>>4 == 0b1110:
			n, r = 2, rune(c&0x0f)
		case c>>3 == 0b11110:
			n, r = 3, rune(c&0x07)
		case c>>2 == 0b111110:
			n, r = 4, rune(c&0x03)
		case c>>1 == 0b1111110:
			n, r = 5, rune(c&0x01)
		}
		if n > 0 && i+n < len(s) {
			for _, c := range []byte(s[i+1 : i+1+n]) {
				r = r<<6 | rune(c&0x3f)
			}
			if r < 0x80 {
				b.WriteByte(byte(r))
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func normal(p string) string { return path.Clean("/" + p) }

// pathOf is the path that a server takes out of a request target: behind scheme
// and host, and behind a scheme alone, which a proxy may have cut off already.
func pathOf(target string) string {
	for {
		scheme, rest := schemeOf(target)
		if scheme == "" {
			return "/" + strings.TrimPrefix(target, "/")
		}
		target = rest
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			i := strings.IndexAny(after, "/?")
			if i < 0 || after[i] == '?' {
				return "/"
			}
			target = after[i:]
		}
	}
}

var pathInfo = regexp.MustCompile(`(?i)\.(php|phtml|f?cgi|aspx|dll)/`)

// readers are how back ends read a raw path: all that they may take it for.
var readers = map[string]func(raw string) []string{
	// Servlet containers: path parameters are dropped from each raw segment,
	// then it is decoded and normalised; some decode %2f and take \ for /.
	"Tomcat": func(raw string) []string {
		segments := strings.Split(raw, "/")
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, ";")
		}
		p := unescape(strings.Join(segments, "/"))
		late, _, _ := strings.Cut(unescape(raw), ";") // decoded before the parameters are dropped
		return []string{normal(p), normal(strings.ReplaceAll(p, `\`, "/")), normal(late)}
	},
	// PHP: a script takes the rest as path info; applications decode and parse again.
	"PHP": func(raw string) []string {
		p := unescape(raw)
		if i := strings.IndexByte(p, 0); i >= 0 {
			p = p[:i]
		}
		all := []string{normal(p), normal(unescape(p)), normal(strings.TrimSpace(p))}
		for _, s := range slices.Clone(all) {
			if i := strings.IndexAny(s, "?#"); i >= 0 {
				all = append(all, normal(s[:i]))
			}
		}
		for _, s := range slices.Clone(all) {
			for _, m := range pathInfo.FindAllStringIndex(s, -1) {
				all = append(all, normal(s[m[1]:]))
			}
		}
		return all
	},
	// IIS and Windows: case, backslash, trailing dots and blanks, streams, old
	// UTF-8, decoding twice, path info.
	"IIS": func(raw string) []string {
		var all []string
		for _, p := range []string{unescape(raw), unescape(unescape(raw))} {
			p = strings.ToLower(strings.ReplaceAll(oldUTF8(p), `\`, "/"))
			segments := strings.Split(p, "/")
			for i, s := range segments {
				s, _, _ = strings.Cut(s, "::$")
				if s != "." && s != ".." {
					s = strings.TrimRight(s, ". ")
				}
				segments[i] = s
			}
			p = normal(strings.Join(segments, "/"))
			all = append(all, p)
			for _, m := range pathInfo.FindAllStringIndex(p, -1) {
				all = append(all, normal(p[m[1]:]))
			}
		}
		return all
	},
	// Python: unquoted by the server, normalised by the framework, case matters.
	"Python": func(raw string) []string {
		p := unescape(raw)
		return []string{normal(p), normal(strings.Trim(p, " \t\r\n\v\x00"))}
	},
}

func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// readsAdmin names the back ends that may take a target for one below /admin.
func readsAdmin(target string) (who []string) {
	raw, _, _ := strings.Cut(pathOf(target), "?")
	for name, read := range readers {
		if slices.ContainsFunc(read(raw), func(p string) bool { return below(p, "/admin") }) {
			who = append(who, name)
		}
	}
	slices.Sort(who)
	return who
}

// target is the raw path of a request the application saw.
func target(head string) string {
	f := strings.SplitN(head, " ", 3)
	if len(f) < 3 {
		return head
	}
	p, _, _ := strings.Cut(f[1], "?")
	return p
}

func (g *gateway) sendPath(host, p, cookie string) int {
	req := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/html\r\n", p, host, g.port)
	if cookie != "" {
		req += "Cookie: " + cookie + "\r\n"
	}
	return g.sendRaw(req + "\r\n")
}

const adminPolicy = "policy admins `\"admins\" in user.groups`\n"

func (g *gateway) cookieOf(name string) string {
	c := ticketOf(g.t, g, g.signedIn("/a", name, name+"pw"))
	return c.Name + "=" + c.Value
}

func TestB13TheReadersKnowTheirTricks(t *testing.T) {
	for raw, want := range map[string]bool{
		"/x/..;/admin": true, "/index.php/admin": true, `/x\..\ADMIN`: true, "/admin::$DATA": true, "/x%c0%af..%c0%afadmin": true, "/%2561dmin": true,
		"/x%e0%80%af..%e0%80%afadmin": true, "/admin%23x": true, "/%61dmin/x": true, "/admin./x": true, "/public/x": false, "/administrator": false, "/adm%C4%B1n": false,
	} {
		if got := readsAdmin(raw); (got != nil) != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
	if oldUTF8("\xc0\xae") != "." || oldUTF8("\xe0\x80\xaf") != "/" || oldUTF8("é€") != "é€" {
		t.Error("the old decoder does not decode")
	}
}

// TestB13 is also P8: whoever reads a path as /admin, bob did not get it, by whatever way.
func TestB13PathTricks(t *testing.T) {
	d := openDoors(t, people(t)+adminPolicy, "", "headers siteminder\npublic /public/*\nrequire /admin/* admins")
	bob, alice := d.cookieOf("bob"), d.cookieOf("alice")
	for _, tr := range tricks(t, d.host()) {
		if who := readsAdmin(tr.path); strings.Join(who, ",") != strings.TrimPrefix(tr.readers, "-") || !tr.block && who != nil {
			t.Errorf("%q is read as /admin by %v: the corpus says %s", tr.path, who, tr.readers)
		}
		for _, way := range ways {
			mark := d.app.count()
			status := d.get(way, tr.path, bob)
			got := d.app.since(mark)
			for _, r := range got {
				if who := readsAdmin(target(r)); who != nil {
					t.Errorf("%s %q (%s): bob got through, and %v read it so", way, tr.path, tr.why, who)
				}
			}
			switch {
			case tr.block && (status != 0 && status != http.StatusForbidden && status != http.StatusBadRequest || len(got) > 0):
				t.Errorf("%s %q (%s): want 400 or 403, got %d", way, tr.path, tr.why, status)
			case !tr.block && !tr.taken(way) && status == 0:
			case !tr.block && (status != http.StatusOK || len(got) != 1):
				t.Errorf("%s %q (%s): want 200, got %d", way, tr.path, tr.why, status)
			}
			if status == http.StatusForbidden { // who may go there, does
				if s := d.get(way, tr.path, alice); s != http.StatusOK {
					t.Errorf("%s %q: alice got %d", way, tr.path, s)
				}
			}
			// A stranger sees nothing but what every back end reads as public.
			mark = d.app.count()
			status = d.get(way, tr.path, "")
			for _, r := range d.app.since(mark) {
				if who := readsElsewhere(target(r)); who != nil {
					t.Errorf("%s %q (%s): a stranger got %d, and to %v it is not public", way, tr.path, tr.why, status, who)
				}
			}
		}
	}
}

func (d *doors) host() string { return fmt.Sprintf("127.0.0.1:%d", d.port) }

// readsElsewhere names the back ends that may take a target for one that is not below /public.
func readsElsewhere(target string) (who []string) {
	raw, _, _ := strings.Cut(pathOf(target), "?")
	raw, _, _ = strings.Cut(raw, ";jsessionid=") // matching ignores it, by promise
	for name, read := range readers {
		if slices.ContainsFunc(read(raw), func(p string) bool { return !below(strings.ToLower(p), "/public") }) {
			who = append(who, name)
		}
	}
	return who
}

// A protect with a matcher of its own covers the path in every reading, too.
func TestB13PathTricksAgainstTheMatcherOfProtect(t *testing.T) {
	g := start(t, people(t), `http://127.0.0.1:{PORT} {
bind 127.0.0.1
@admin path /admin /admin/*
protect @admin {
headers siteminder
}
reverse_proxy {APP}
}
http://cut.localhost:{PORT} {
bind 127.0.0.1
protect off
handle /admin* {
protect {
headers siteminder
}
reverse_proxy {APP}
}
handle {
reverse_proxy {APP}
}
}`)
	for _, host := range []string{"127.0.0.1", "cut.localhost"} {
		for _, tr := range tricks(t, fmt.Sprintf("%s:%d", host, g.port)) {
			mark := g.app.count()
			status := g.sendPath(host, tr.path, "")
			got := g.app.since(mark)
			for _, r := range got {
				if who := readsAdmin(target(r)); who != nil {
					t.Errorf("%s %q (%s): a stranger got through, and %v read it so", host, tr.path, tr.why, who)
				}
			}
			if !tr.block && len(got) != 1 && (host == "127.0.0.1" || !strings.HasPrefix(tr.path, "/admin")) {
				t.Errorf("%s %q: want 200, got %d", host, tr.path, status)
			}
		}
	}
	// The session parameter is ignored: who signs in gets what they asked for.
	c := ticketOf(t, g, g.signedIn("/admin/x", "alice", "alicepw"))
	for _, p := range []string{"/admin;jsessionid=1", "/admin/x;jsessionid=2"} {
		mark := g.app.count()
		g.sendPath("127.0.0.1", p, c.Name+"="+c.Value)
		if r := g.app.since(mark); len(r) != 1 || target(r[0]) != p || len(header(r[0], "SM_USER")) != 1 {
			t.Errorf("%s: %q", p, r)
		}
	}
}

func TestB13WithoutStrictPathsMatchingStillHolds(t *testing.T) {
	d := openDoors(t, people(t)+adminPolicy, "", "headers siteminder\nstrict_paths off\npublic /public/*\nrequire /admin/* admins")
	bob := d.cookieOf("bob")
	n := 0
	for _, tr := range tricks(t, d.host()) {
		for _, way := range ways {
			mark := d.app.count()
			status := d.get(way, tr.path, bob)
			got := d.app.since(mark)
			if tr.lax {
				if n++; status != http.StatusForbidden && status != http.StatusBadRequest && status != 0 || len(got) > 0 {
					t.Errorf("%s %q (%s): want 403, got %d", way, tr.path, tr.why, status)
				}
			}
			if !tr.block && tr.taken(way) && status != http.StatusOK {
				t.Errorf("%s %q (%s): want 200, got %d", way, tr.path, tr.why, status)
			}
		}
	}
	if n < 3*60 {
		t.Errorf("only %d paths", n)
	}
}

// What opens must open in every reading: else a trick would make it public.
func TestB13PublicPathsCannotBeStretched(t *testing.T) {
	d := openDoors(t, people(t), "@css path *.css", "headers siteminder\npublic /public/* @css /index.php/free/*")
	b, err := os.ReadFile("testdata/public.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if line == "\n" || line[0] == '#' {
			continue
		}
		p, err := strconv.Unquote(`"` + f[0] + `"`)
		if err != nil || len(f) != 3 || f[1] != "open" && f[1] != "shut" {
			t.Fatalf("testdata/public.txt: %q: %v", line, err)
		}
		n++
		for _, way := range ways {
			mark := d.app.count()
			status := d.get(way, p, "")
			if got := len(d.app.since(mark)) == 1; got != (f[1] == "open") {
				t.Errorf("%s %q (%s): open is %v (%d), want %s", way, p, f[2], got, status, f[1])
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d paths", n)
	}
}

func TestP8TooManyReadingsAreRefused(t *testing.T) {
	g := start(t, people(t)+adminPolicy, "protect {\nheaders siteminder\nrequire /admin/* admins\n}\nreverse_proxy {APP}")
	bob := g.cookieOf("bob")
	mark := g.app.count()
	if s := g.sendPath("127.0.0.1", strings.Repeat("/a.php", 3000)+"/admin", bob); s != http.StatusBadRequest && s != http.StatusForbidden {
		t.Errorf("want a refusal, got %d", s)
	}
	if g.app.count() != mark {
		t.Error("it reached the application")
	}
	if e := g.events("denied", 1)[0]; e["reason"] != "bad_path" {
		t.Errorf("event: %v", e["reason"])
	}
}

// The page of a refused path does not believe it, and a stranger writes nothing (I25).
func TestP8RefusedPathIsExplained(t *testing.T) {
	g := start(t, people(t), plainSite)
	p := g.raw(http.MethodGet, "/a/%2e%2e/%3Cb%3E", "", "Accept", "text/html")
	want(t, p, http.StatusBadRequest)
	if all := g.events("", 0); len(all) > 0 || !p.Has("Reference") || p.Has("<b>") {
		t.Errorf("events %v, page\n%s", all, p.Text())
	}
}
