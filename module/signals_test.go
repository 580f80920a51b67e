package module_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// atlas writes a database in which Paris, Lyon and Tokyo have addresses.
func atlas(t testing.TB) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cidr, country, city string
		lat, lon            float64
	}{{"203.0.113.0/26", "FR", "Paris", 48.85, 2.35}, {"203.0.113.64/26", "FR", "Lyon", 45.76, 4.84}, {"203.0.113.128/26", "JP", "Tokyo", 35.68, 139.69}} {
		_, n, _ := net.ParseCIDR(c.cidr)
		err := w.Insert(n, mmdbtype.Map{
			"country": mmdbtype.Map{"iso_code": mmdbtype.String(c.country)}, "city": mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(c.city)}},
			"location":                 mmdbtype.Map{"latitude": mmdbtype.Float64(c.lat), "longitude": mmdbtype.Float64(c.lon), "accuracy_radius": mmdbtype.Uint16(20)},
			"autonomous_system_number": mmdbtype.Uint32(64496),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(scratch(t), "atlas.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	paris, lyon, tokyo = "203.0.113.1", "203.0.113.65", "203.0.113.129"
	behindProxies      = "trusted_proxies static 127.0.0.0/8\n"
)

// scored signs somebody in whose application sees what a signal called s said.
func scored(t testing.TB, lines, signal string) *gateway {
	return start(t, behindProxies+people(t)+lines+"flow staff {\nlogin corp\nrisk "+signal+"\nset s `string(risk.score)`\nset why `risk.reasons.join(\",\")`\nset c `geo.country`\n}\n",
		"protect staff {\nheader X-S {user.s}\nheader X-Why {user.why}\nheader X-C {user.c}\nrequire /fr/* `geo.country == \"FR\" && geo.city == \"Paris\" && geo.asn == 64496`\nrequire /nowhere/* `geo.country == \"\" && geo.city == \"\" && geo.asn == 0`\n}\nreverse_proxy {APP}")
}

// score is what a new browser of alice's at an address gets.
func (g *gateway) score(t *testing.T, b *browser.Browser) string {
	t.Helper()
	g.again(t, b)
	p := g.signIn(b, "/a", "alice", "alicepw")
	want(t, p, http.StatusOK)
	return strings.Join(append(header(p.Body, "X-S"), header(p.Body, "X-Why")...), " ")
}

// The figures of B28, walked.
func TestB28ParisToTokyoInTwoHoursIsFlagged(t *testing.T) {
	for _, tc := range []struct {
		name, to, want string
		after          time.Duration
	}{
		{"Paris to Tokyo in two hours", tokyo, "100 impossible_travel", 2 * time.Hour},
		{"Paris to Tokyo in half a day", tokyo, "0", 12 * time.Hour},
		{"Paris to Lyon in two hours", lyon, "0", 2 * time.Hour},
		{"the same city five minutes later", paris, "0", 5 * time.Minute},
		{"a private address", "10.0.0.1", "50 signal_unknown", 2 * time.Hour},
		{"an address nobody knows", "192.0.2.1", "50 signal_unknown", 2 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock := newClock(t)
			g := scored(t, "signal place geo {\ndatabase "+atlas(t)+"\n}\nsignal trip travel\n", "trip")
			if got := g.score(t, arrives(t, paris)); got != "50 signal_unknown" {
				t.Errorf("the first login: %s", got)
			}
			clock.Advance(tc.after)
			if got := g.score(t, arrives(t, tc.to)); strings.TrimSpace(got) != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// A condition reads where the request at hand comes from, in flows and on every request.
func TestGeoIsReadByConditions(t *testing.T) {
	newClock(t)
	g := scored(t, "signal place geo {\ndatabase "+atlas(t)+"\n}\n", "place")
	b := arrives(t, paris)
	g.score(t, b)
	for _, tc := range []struct {
		ip, path string
		want     int
	}{
		{paris, "/fr/a", http.StatusOK},
		{lyon, "/fr/a", http.StatusForbidden},
		{tokyo, "/fr/a", http.StatusForbidden},
		{"10.0.0.1", "/fr/a", http.StatusForbidden},
		{"10.0.0.1", "/nowhere/a", http.StatusOK},
		{paris, "/nowhere/a", http.StatusForbidden},
		{"192.0.2.1", "/nowhere/a", http.StatusOK},
	} {
		from(b, tc.ip)
		p := g.open(b, g.url(tc.path))
		want(t, p, tc.want)
		if c := header(p.Body, "X-C"); tc.want == http.StatusOK && fmt.Sprint(c) != "[FR]" { // that of the login
			t.Errorf("%s: the flow saw %v", tc.ip, c)
		}
	}
}

func TestTravelNeedsPlaces(t *testing.T) {
	g := start(t, people(t), plainSite)
	err := g.load(people(t)+"signal trip travel\n", plainSite)
	if err == nil || !strings.Contains(err.Error(), "signal trip: nobody knows where addresses are; write a signal of type geo beside it") {
		t.Errorf("got %v", err)
	}
}

// Wrong answers of whoever tried count for the person who comes at last.
func TestVelocityCountsWrongAnswers(t *testing.T) {
	newClock(t)
	g := scored(t, "signal tries velocity\n", "tries")
	for i, name := range []string{"alice", "ALICE", "alice"} {
		p := g.signIn(arrives(t, fmt.Sprintf("198.51.%d.1", i)), "/a", name, "wrong")
		want(t, p, http.StatusUnauthorized)
	}
	if got := g.score(t, arrives(t, "192.0.2.1")); got != "60 many_failures" {
		t.Errorf("three wrong answers: %s", got)
	}
}

// The score of the network in front is read from it alone.
func TestHeaderSignalBelievesTrustedProxiesOnly(t *testing.T) {
	newClock(t)
	lines := "signal waf header {\nheader Cf-Bot-Score\nrange 99 1\n}\n"
	g := scored(t, lines, "waf")
	b := arrives(t, paris)
	b.Header.Set("Cf-Bot-Score", "1")
	if got := g.score(t, b); got != "100 bot_score" {
		t.Errorf("from the proxy: %s", got)
	}
	global := people(t) + lines + "flow staff {\nlogin corp\nrisk waf\nset s `string(risk.score)`\n}\n"
	if err := g.load(global, "protect staff {\nheader X-S {user.s}\nheader X-Why missing\n}\nreverse_proxy {APP}"); err != nil {
		t.Fatal(err)
	}
	b = newBrowser(t)
	b.Header.Set("Cf-Bot-Score", "99")
	p := g.signIn(b, "/a", "alice", "alicepw")
	if s := header(p.Body, "X-S"); fmt.Sprint(s) != "[50]" {
		t.Errorf("a browser says of itself that it is none: %v", s)
	}
}

// Eight lines, as the documentation has them.
func TestB28NewDeviceInANewCountryAtNightGetsASecondFactor(t *testing.T) {
	global := behindProxies + "signal device device\nsignal place geo {\ndatabase " + atlas(t) + "\n}\nsignal hour hours\nfactor totp\nflow staff {\nlogin idp\nrisk device=30 place=30 hour=30 {\nbands 50 80\n}\n" +
		"when `risk.level != \"low\"` {\nmfa totp\n}\n}\n"
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+global, riskSite)
	b := arrives(t, paris)
	mfaUser(op, "pwd", "mfa")
	p := g.open(b, g.url("/a")) // new, but nothing else is known: 30 + 15 + 15
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/a", "idp:u-alice")
	mfaUser(op)
	for range 10 {
		clock.Advance(24 * time.Hour)
		landed(t, g.again(t, b), "/a", "idp:u-alice")
	}
	clock.Advance(15 * time.Hour) // three at night
	other := arrives(t, tokyo)
	p = g.open(other, g.url("/a"))
	asksForCode(t, "a new device in a new country at night", p)
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/a", "idp:u-alice")
	events := g.events("login", 12)
	why := fmt.Sprint(events[len(events)-1]["risk"])
	for _, reason := range []string{"new_device", "new_country", "unusual_time"} {
		if !strings.Contains(why, reason) {
			t.Errorf("the trail does not say %s: %s", reason, why)
		}
	}
}
