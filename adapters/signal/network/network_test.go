package network

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func parsed(text string) (*Signal, error) {
	s := new(Signal)
	return s, s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func start(t testing.TB, lines string) *Signal {
	t.Helper()
	s, err := parsed("network {\n" + lines + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := provisioned(t, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func provisioned(t testing.TB, s *Signal) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	return s.Provision(ctx)
}

func put(t testing.TB, path, text string, age int) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(int64(1_700_000_000+age), 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func from(ip string) *flows.Facts {
	return &flows.Facts{Now: flowstest.Start, User: &flows.User{Key: "corp:anna", Name: "anna"}, Request: &flows.Request{IP: ip}}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	s := start(t, "trusted 10.0.0.0/8")
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: s, Facts: []*flows.Facts{from("10.0.0.1"), from("192.0.2.1")}})
}

func TestRead(t *testing.T) {
	t.Parallel()
	const trusted, risky, both = "trusted 10.0.0.0/8 2001:db8::/32", "risky 192.0.2.0/24 2001:db8:5::/48",
		"trusted 10.0.0.0/8 192.0.2.7 198.51.100.0/25 2001:db8::/32\nrisky 10.9.0.0/16 192.0.2.0/24 198.51.100.0/25 2001:db8:5::/48"
	for _, tc := range []struct {
		lines, ip string
		want      int
	}{
		{trusted, "10.1.2.3", 0},
		{trusted, "192.0.2.1", 100},
		{trusted, "2001:db8::1", 0},
		{trusted, "2001:db9::1", 100},
		{trusted, "::ffff:10.1.2.3", 0},
		{trusted, "fe80::1%eth0", 100},
		{risky, "192.0.2.1", 100},
		{risky, "10.1.2.3", 0},
		{risky, "2001:db8:5::1", 100},
		{risky, "::ffff:192.0.2.1", 100},
		{both, "10.1.2.3", 0},
		{both, "10.9.1.1", 100},
		{both, "192.0.2.7", 0},
		{both, "192.0.2.8", 100},
		{both, "198.51.100.1", 100},
		{both, "203.0.113.1", 0},
		{both, "2001:db8:5::1", 100},
		{both, "2001:db8:6::1", 0},
		{both + "\nother 40", "203.0.113.1", 40},
		{trusted + "\nother 0", "203.0.113.1", 0},
		{"risky ::ffff:192.0.2.0/120", "192.0.2.9", 100},
		{"risky 0.0.0.0/0\ntrusted 10.0.0.0/8", "10.0.0.1", 0},
	} {
		r, err := start(t, tc.lines).Read(t.Context(), from(tc.ip), nil)
		if err != nil || r.Score != tc.want || r.Unknown {
			t.Errorf("%s: %s: %+v, %v", tc.lines, tc.ip, r, err)
		}
	}
	for _, ip := range []string{"", "x", "10.0.0.1:80"} {
		if r, err := start(t, trusted).Read(t.Context(), from(ip), nil); err != nil || !r.Unknown {
			t.Errorf("%q: %+v, %v", ip, r, err)
		}
	}
}

// A broken line keeps the old list, and says where it is.
func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "risky")
	put(t, path, "# made for a test\n\n192.0.2.0/24 ; SBL1\r\n2001:db8::/32 # six\n198.51.100.7\n", 0)
	s := start(t, "risky_file "+path)
	score := func(ip string) int { r, _ := s.Read(t.Context(), from(ip), nil); return r.Score }
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "198.51.100.7"} {
		if score(ip) != 100 {
			t.Errorf("%s is not in the list", ip)
		}
	}
	for i, broken := range []string{"203.0.113.0/24\n192.0.2.0/33\n", "", "# nothing\n", "203.0.113.0/24\n10.0.0.1/8\n"} {
		put(t, path, broken, i+1)
		_, _ = s.files[0].Look()
		taken, err := s.files[0].Look()
		if taken || err == nil || !strings.Contains(err.Error(), path) || score("192.0.2.1") != 100 || score("203.0.113.1") != 0 {
			t.Errorf("%q was taken: %v", broken, err)
		}
		if strings.HasPrefix(broken, "203") && !strings.Contains(err.Error(), path+":2: ") {
			t.Errorf("no line in %v", err)
		}
	}
	put(t, path, "203.0.113.0/24", 10)
	_, _ = s.files[0].Look()
	if taken, err := s.files[0].Look(); !taken || err != nil || score("203.0.113.1") != 100 || score("192.0.2.1") != 0 {
		t.Errorf("%t, %v", taken, err)
	}
}

func TestProvisionRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	put(t, path, "10.0.0.0/8\nhere\n", 0)
	for _, tc := range []struct {
		s    Signal
		want string
	}{
		{Signal{RiskyFiles: []string{path}}, path + ":2: 'here' is no network such as 10.0.0.0/8"},
		{Signal{RiskyFiles: []string{path + "x"}}, "no such file"},
		{Signal{Risky: []string{"10.0.0.0"}, Other: new(int)}, ""},
		{Signal{}, "network has no list"},
	} {
		if err := provisioned(t, &tc.s); tc.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("want %q, got %v", tc.want, err)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"network x", "network takes no argument"},
		{"network", "network has no list"},
		{"network {\nlist x\n}", "network has no option 'list'; there are: other, risky, risky_file, trusted, trusted_file"},
		{"network {\ntrusted\n}", "wrong argument count"},
		{"network {\ntrusted 10.0.0.0/8\nother x\n}", "other 'x' is no score"},
		{"network {\ntrusted 10.0.0.0/8\nother 101\n}", "from 0 to 100, not 101"},
		{"network {\ntrusted 10.0.0.0/8\nother 1\nother 2\n}", "once"},
		{"network {\ntrusted office\n}", "'office' is no network"},
		{"network {\ntrusted 10.0.0.1/8\n}", "is 10.0.0.0/8 meant?"},
		{"network {\nrisky ::ffff:0:0/95\n}", "more than all of IPv4"},
	} {
		if _, err := parsed(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}

// FuzzParse: a list is a table that finds what it holds, or an error.
func FuzzParse(f *testing.F) {
	f.Add("10.0.0.0/8\n# x\n2001:db8::/32;y", "10.0.0.1")
	f.Add("::ffff:10.0.0.0/104", "::ffff:10.0.0.1")
	f.Add("\ufeff0.0.0.0/0\n::/0\nfe80::1%eth0", "fe80::1%eth0")
	f.Fuzz(func(t *testing.T, text, ip string) {
		tab, err := parse("list", []byte(text))
		a, bad := netip.ParseAddr(ip)
		if err != nil || bad != nil {
			return
		}
		a = a.Unmap().WithZone("")
		want := -1
		for p := range tab.known {
			if p.Contains(a) {
				want = max(want, p.Bits())
			}
		}
		if got := tab.find(a); got != want {
			t.Errorf("%s in %q: %d, want %d", ip, text, got, want)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&text, "%d.%d.%d.0/%d\n", 20+i%180, i/180%256, i/180/256*16, 20+i%5)
	}
	path := filepath.Join(b.TempDir(), "list")
	list := strings.Split(strings.TrimSpace(text.String()), "\n")
	for i, l := range list {
		p := netip.MustParsePrefix(l)
		list[i] = p.Masked().String()
	}
	put(b, path, strings.Join(list, "\n"), 0)
	s := start(b, "risky_file "+path+"\ntrusted 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16")
	f := from("203.0.113.77")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), f, nil); err != nil {
			b.Fatal(err)
		}
	}
}
