package geo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// made writes a database of this type.
func made(t testing.TB, typ string, entries map[string]mmdbtype.Map) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: typ, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: 1772366400})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, e := range entries {
		_, n, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(n, e); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func city(country, name string, lat, lon float64) mmdbtype.Map {
	return mmdbtype.Map{
		"country":  mmdbtype.Map{"iso_code": mmdbtype.String(country)},
		"city":     mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name)}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(lat), "longitude": mmdbtype.Float64(lon), "accuracy_radius": mmdbtype.Uint16(20)},
	}
}

func cities(t testing.TB) []byte {
	return made(t, "GeoLite2-City", map[string]mmdbtype.Map{
		"203.0.113.0/26": city("FR", "Paris", 48.85, 2.35), "203.0.113.64/26": city("JP", "Tokyo", 35.68, 139.69),
		"203.0.113.128/26": city("DE", "Berlin", 52.52, 13.4), "2001:db8:1::/48": city("FR", "Lyon", 45.76, 4.84),
		"10.0.0.0/8": city("XX", "Nowhere", 1, 1), "203.0.113.192/26": {"city": mmdbtype.Map{}},
	})
}

func networks(t testing.TB) []byte {
	return made(t, "GeoLite2-ASN", map[string]mmdbtype.Map{
		"203.0.113.0/25": {"autonomous_system_number": mmdbtype.Uint32(64496)}, "203.0.113.192/26": {"autonomous_system_number": mmdbtype.Uint32(64511)},
	})
}

func put(t testing.TB, path string, content []byte, age int) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(int64(1_700_000_000+age), 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func parsed(text string) (*Signal, error) {
	s := new(Signal)
	return s, s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func start(t testing.TB, lines string, files map[string][]byte) (*Signal, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(dir, name), content, 0)
		lines = "database " + filepath.Join(dir, name) + "\n" + lines
	}
	s, err := parsed("geo {\n" + lines + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := s.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Cleanup() })
	return s, dir
}

func both(t testing.TB) map[string][]byte {
	return map[string][]byte{"city.mmdb": cities(t), "asn.mmdb": networks(t)}
}

func from(ip string) *flows.Facts {
	return &flows.Facts{Now: flowstest.Start, User: &flows.User{Key: "corp:anna", Name: "anna"}, Request: &flows.Request{IP: ip}}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", both(t))
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: s, Facts: []*flows.Facts{from("203.0.113.1"), from("203.0.113.70"), from("192.0.2.1")}})
}

func TestLocate(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", both(t))
	paris := flows.Place{Country: "FR", City: "Paris", ASN: 64496, Latitude: 48.85, Longitude: 2.35, Radius: 20, Placed: true}
	for ip, want := range map[string]flows.Place{
		"203.0.113.1": paris, "::ffff:203.0.113.1": paris,
		"203.0.113.200": {ASN: 64511}, "203.0.113.130": {Country: "DE", City: "Berlin", Latitude: 52.52, Longitude: 13.4, Radius: 20, Placed: true},
		"2001:db8:1::5": {Country: "FR", City: "Lyon", Latitude: 45.76, Longitude: 4.84, Radius: 20, Placed: true},
		"192.0.2.1":     {}, "10.0.0.1": {}, "2001:db8:2::": {}, "": {}, "x": {}, "203.0.113.1:80": {},
	} {
		if got, known := s.Locate(ip); got != want || known != (want != flows.Place{}) {
			t.Errorf("%q: %+v, %t", ip, got, known)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", both(t))
	usual, _ := start(t, "usual FR DE\nrisky AS64511 KP", both(t))
	learnt := json.RawMessage(`{"FR":20500}`)
	for _, tc := range []struct {
		name    string
		s       *Signal
		ip      string
		learned json.RawMessage
		want    flows.Reading
	}{
		{"first login", s, "203.0.113.1", nil, flows.UnknownReading("no country of this person is known yet")},
		{"the same country", s, "203.0.113.1", learnt, flows.Reading{Text: "FR AS64496"}},
		{"another one", s, "203.0.113.70", learnt, flows.Reading{Score: 100, Reason: flows.ReasonNewCountry, Text: "JP AS64496"}},
		{"long ago", s, "203.0.113.1", json.RawMessage(`{"FR":20000,"DE":20500}`), flows.Reading{Score: 100, Reason: flows.ReasonNewCountry, Text: "FR AS64496"}},
		{"no country", s, "203.0.113.200", learnt, flows.UnknownReading("the country of the address is not known")},
		{"private", s, "10.1.2.3", learnt, flows.UnknownReading("the country of the address is not known")},
		{"usual", usual, "203.0.113.1", nil, flows.Reading{Text: "FR AS64496"}},
		{"unusual, though not for this person", usual, "203.0.113.70", json.RawMessage(`{"JP":20500}`), flows.Reading{Score: 100, Reason: flows.ReasonUnusualCountry, Text: "JP AS64496"}},
		{"risky network of no country", usual, "203.0.113.200", nil, flows.Reading{Score: 100, Reason: flows.ReasonRiskyPlace, Text: "AS64511"}},
		{"unknown", usual, "192.0.2.1", nil, flows.UnknownReading("the country of the address is not known")},
	} {
		if got, err := tc.s.Read(t.Context(), from(tc.ip), tc.learned); got != tc.want || err != nil {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func TestLearnKeepsTheNewest(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", both(t))
	old := countries{"AA": 19000}
	for i := range 30 {
		old[fmt.Sprintf("B%c", 'A'+i%26)] = 20500 - int64(i)
	}
	b, _ := json.Marshal(old)
	out, err := s.Learn(from("203.0.113.1"), b)
	var c countries
	if err != nil || json.Unmarshal(out, &c) != nil || len(c) != maxCountries || c["FR"] != day(flowstest.Start) || c["AA"] != 0 {
		t.Errorf("%s, %v", out, err)
	}
	if out, err = s.Learn(from("192.0.2.1"), b); err != nil || !bytes.Equal(out, b) {
		t.Errorf("an unknown place changes %s, %v", out, err)
	}
}

// A broken file never takes the place of a good one, whole or cut or foreign.
func TestDatabasesAreReadAgain(t *testing.T) {
	t.Parallel()
	s, dir := start(t, "", both(t))
	path := filepath.Join(dir, "city.mmdb")
	v, _, err := pool.LoadOrNew(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = pool.Delete(path) })
	file := v.(*database).file
	where := func() string { p, _ := s.Locate("203.0.113.1"); return p.Country }
	moved := made(t, "GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": city("NL", "Delft", 52, 4.36)})
	damaged := bytes.Clone(moved)
	copy(damaged[bytes.Index(damaged, []byte("iso_code"))-3:], bytes.Repeat([]byte{0xff}, 10)) // in an entry
	if _, err := open(damaged); err != nil {
		t.Fatal("it is seen to be damaged at once")
	}
	for i, content := range [][]byte{moved[:len(moved)/2], damaged, {}, []byte("<html>"), made(t, "Other", nil)} {
		put(t, path, content, i+1)
		if taken, err := file.Look(); taken || err != nil {
			t.Fatalf("%d: a file was taken at first sight: %v", i, err)
		}
		if taken, err := file.Look(); taken || err == nil || !strings.Contains(err.Error(), path) || where() != "FR" {
			t.Errorf("%d: a broken file was taken (%v): %s", i, err, where())
		}
	}
	put(t, path, moved, 10)
	_, _ = file.Look()
	if taken, err := file.Look(); !taken || err != nil || where() != "NL" {
		t.Errorf("%t, %v: %s", taken, err, where())
	}
}

func TestDatabasesAreSharedByConfigs(t *testing.T) {
	t.Parallel()
	s, dir := start(t, "", map[string][]byte{"city.mmdb": cities(t)})
	put(t, filepath.Join(dir, "city.mmdb"), []byte("broken meanwhile"), 5)
	next, err := parsed("geo {\ndatabase " + filepath.Join(dir, "city.mmdb") + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	if err := next.Provision(ctx); err != nil || next.all[0] != s.all[0] {
		t.Fatalf("the next config reads the file anew: %v", err)
	}
	if err := s.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if p, _ := next.Locate("203.0.113.1"); p.Country != "FR" {
		t.Errorf("%+v", p)
	}
	if err := next.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if err := next.Provision(ctx); err == nil {
		t.Error("a broken file was opened")
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"geo x", "geo takes no argument, but got 'x'"},
		{"geo", "geo needs a database"},
		{"geo {\nfile x\n}", "geo has no option 'file'; there are: database, risky, usual"},
		{"geo {\ndatabase\n}", "wrong argument count"},
		{"geo {\ndatabase x\nusual fr\n}", "usual 'fr' is no country such as FR"},
		{"geo {\ndatabase x\nrisky AS0\n}", "neither a country"},
		{"geo {\ndatabase x\nusual FR\nrisky FR\n}", "FR cannot be usual and risky"},
	} {
		if _, err := parsed(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}

// TestBrokenDatabases breaks each byte of a database, and cuts it everywhere.
func TestBrokenDatabases(t *testing.T) {
	t.Parallel()
	whole := cities(t)
	tried, opened := 0, 0
	try := func(file []byte) {
		tried++
		r, err := open(file)
		if err != nil {
			return
		}
		opened++
		for _, ip := range []string{"203.0.113.1", "203.0.113.70", "2001:db8:1::5", "192.0.2.1"} {
			if p, err := find(r, netip.MustParseAddr(ip)); p.Placed && (err != nil || !(p.Latitude <= 90 && p.Longitude <= 180)) || len(p.City) > 100 {
				t.Errorf("%+v, %v", p, err)
			}
		}
	}
	for i := range whole {
		for _, v := range []byte{0, 0xff, whole[i] ^ 0x20} {
			b := bytes.Clone(whole)
			b[i] = v
			try(b)
		}
		try(whole[:i])
	}
	if opened == 0 || opened == tried {
		t.Errorf("%d of %d were opened", opened, tried)
	}
}

// FuzzDatabase: whatever a file holds, an address is known, unknown or an error.
func FuzzDatabase(f *testing.F) {
	f.Add(cities(f), uint32(0xcb007101))
	f.Add(networks(f), uint32(0xcb007101))
	f.Add(made(f, "City", map[string]mmdbtype.Map{"203.0.113.0/24": {"country": mmdbtype.String("FR"), "location": mmdbtype.Slice{}}}), uint32(0xcb007101))
	f.Fuzz(func(t *testing.T, file []byte, ip uint32) {
		r, err := open(file)
		if err != nil {
			return
		}
		for _, a := range []netip.Addr{
			netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}),
			netip.AddrFrom16([16]byte{0x20, 1, byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}),
		} {
			p, err := find(r, a)
			if p.Country != "" && !country.MatchString(p.Country) || p.Placed && (err != nil || p.Latitude > 90 || p.Longitude > 180) || len(p.City) > 100 {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}

func BenchmarkLocate(b *testing.B) {
	s, _ := start(b, "", both(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Locate("203.0.113.1"); !ok {
			b.Fatal("unknown")
		}
	}
}
