package module

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

const testPortal = "https://auth.example"

// portalling is a visit of the portal for the applications app and wiki.
func portalling(f *testing.F) *visit {
	f.Helper()
	v := sealing(f, testPortal)
	v.app.portal = &portalHost{origin: testPortal, host: "auth.example", named: []string{"https://wiki.example:8443"}, served: func() hostSet {
		return hostSet{origins: map[string]bool{}, hosts: map[string][]ports{"app.example": {{listen: []caddy.NetworkAddress{{Network: "tcp", StartPort: 443, EndPort: 443}}, tls: true}}}}
	}}
	return v
}

// No hop opens but the one that was sealed here, for this portal (I01, S14).
func FuzzHop(f *testing.F) {
	v := portalling(f)
	b, err := json.Marshal(hop{Origin: "https://app.example", ReturnTo: "/a", Flow: "default", Pending: "p", Nonce: "n", Expires: 1})
	if err != nil {
		f.Fatal(err)
	}
	seal := func(purpose, portal string) string {
		s, err := v.app.keys.have.Seal(purpose, portal, b)
		if err != nil {
			f.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(s)
	}
	good := seal("hop", testPortal)
	for _, s := range []string{good, seal("hop", "https://other.example"), seal("state", testPortal), base64.RawURLEncoding.EncodeToString(b), string(b), good + "=", good[:len(good)-1], good + "\n", "", "A", "%", strings.Repeat("A", 9000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := v.openHop(s)
		if s == good && err != nil {
			t.Fatal(err)
		}
		if want := (hop{Origin: "https://app.example", ReturnTo: "/a", Flow: "default", Pending: "p", Nonce: "n", Expires: 1}); err == nil && got != want {
			t.Fatalf("%q: %+v", s, got)
		}
	})
}

// Whatever is asked for, a browser that follows it ends at an application, and on
// no page of ours there (B1).
func FuzzApplication(f *testing.F) {
	v := portalling(f)
	for _, s := range []string{
		"https://app.example", "https://app.example/a?x=1#f", "https://wiki.example:8443?x", "https://app.example:443/", "https://APP.example/", "https://app.example.", "https://app.example@evil.example/",
		"https://app.example\\@evil.example", "https://app.example//evil.example", "https://app.example/.identity/logout", "https://app.example/a/../.identity/x", "https://app.example:0443/", "https://evil.example#https://app.example/",
		"http://app.example/", "//app.example", "javascript://app.example/%0aalert(1)", "https://app.example\t/", "https:app.example", "https://app.example/\x00", "", ":", "://", "https://", "https://[::1]/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		origin, path, ok := v.app.application(s)
		if !ok {
			return
		}
		u, err := url.Parse(origin + path)
		if err != nil || origin != "https://app.example" && origin != "https://wiki.example:8443" || u.Scheme+"://"+u.Host != origin || u.User != nil || !strings.HasPrefix(s, origin) {
			t.Fatalf("%q leads to %q %q", s, origin, path)
		}
		if u.Path == "/.identity" || strings.HasPrefix(u.Path, "/.identity/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\x00\r\n\t ") {
			t.Fatalf("%q leads to the path %q", s, path)
		}
		if again, to, ok := v.app.application(origin + path); !ok || again != origin || to != path {
			t.Fatalf("%q is %q %q, then %q %q", s, origin, path, again, to)
		}
		if o, p := v.split(s); o != origin || p != path {
			t.Fatalf("%q is split into %q %q", s, o, p)
		}
	})
}
