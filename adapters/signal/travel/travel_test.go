package travel

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

var places = map[string]flows.Place{
	"paris": {Country: "FR", Latitude: 48.8566, Longitude: 2.3522, Radius: 20, Placed: true},
	"lyon":  {Country: "FR", Latitude: 45.764, Longitude: 4.8357, Radius: 20, Placed: true},
	"tokyo": {Country: "JP", Latitude: 35.6764, Longitude: 139.65, Radius: 50, Placed: true},
	"fiji":  {Country: "FJ", Latitude: -17.7, Longitude: 179.9, Radius: 10, Placed: true},
	"samoa": {Country: "WS", Latitude: -13.8, Longitude: -172.1, Radius: 10, Placed: true},
	// Somewhere in a country: the middle of it, and as far around.
	"france":  {Country: "FR", Latitude: 46, Longitude: 2, Radius: 1000, Placed: true},
	"japan":   {Country: "JP", Latitude: 36, Longitude: 138, Radius: 1000, Placed: true},
	"nowhere": {Country: "FR"}, // a database of countries says no more
}

func in(place string, after time.Duration) *flows.Facts {
	return &flows.Facts{
		Now: flowstest.Start.Add(after), User: &flows.User{Key: "corp:anna", Name: "anna"}, Request: &flows.Request{IP: place},
		Locate: func(ip string) flows.Place { return places[ip] },
	}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: new(Signal), Facts: []*flows.Facts{in("paris", 0), in("tokyo", time.Hour), in("nowhere", 0)}})
}

// been is what is noted after logins in places, an hour apart, the last one at the start.
func been(t testing.TB, where ...string) (note json.RawMessage) {
	t.Helper()
	for i, w := range where {
		var err error
		if note, err = new(Signal).Learn(in(w, time.Duration(i+1-len(where))*time.Hour), note); err != nil {
			t.Fatal(err)
		}
	}
	return note
}

// B28, and the figures of the contract.
func TestB28ImpossibleTravel(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		been    []string
		now     string
		after   time.Duration
		flagged bool
	}{
		{"Paris to Tokyo in two hours", []string{"paris"}, "tokyo", 2 * time.Hour, true},
		{"Paris to Tokyo in half a day", []string{"paris"}, "tokyo", 12 * time.Hour, false},
		{"Paris to Lyon in two hours", []string{"paris"}, "lyon", 2 * time.Hour, false},
		{"Paris to Lyon in five minutes", []string{"paris"}, "lyon", 5 * time.Minute, true},
		{"the same city five minutes later", []string{"paris"}, "paris", 5 * time.Minute, false},
		{"the same city at once", []string{"paris"}, "paris", 0, false},
		{"across the date line in two hours", []string{"fiji"}, "samoa", 2 * time.Hour, false},
		{"from one of the last five", []string{"tokyo", "paris", "paris", "paris", "paris"}, "tokyo", time.Minute, true},
		{"France to Japan, somewhere in them, in eight hours", []string{"france"}, "japan", 9 * time.Hour, false},
		{"France to Japan, somewhere in them, in two hours", []string{"france"}, "japan", 2 * time.Hour, true},
		{"a clock that is behind", []string{"paris"}, "tokyo", -time.Minute, true},
	} {
		r, err := new(Signal).Read(t.Context(), in(tc.now, tc.after), been(t, tc.been...))
		if err != nil || (r.Score == 100) != tc.flagged || tc.flagged != (r.Reason == flows.ReasonImpossibleTravel) || r.Unknown {
			t.Errorf("%s: %+v, %v", tc.name, r, err)
		}
	}
	r, _ := new(Signal).Read(t.Context(), in("tokyo", 2*time.Hour), been(t, "paris"))
	if !strings.HasPrefix(r.Text, "FR to JP, 9") || !strings.HasSuffix(r.Text, " km in 2h0m0s") {
		t.Errorf("it says %q", r.Text)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		f    *flows.Facts
		note json.RawMessage
	}{
		"no place":       {in("nowhere", 0), been(t, "paris")},
		"private":        {in("10.0.0.1", 0), been(t, "paris")},
		"the first time": {in("paris", 0), nil},
		"nobody yet":     {&flows.Facts{Now: flowstest.Start, Request: &flows.Request{IP: "tokyo"}, Locate: in("", 0).Locate}, been(t, "paris")},
		"nobody knows":   {&flows.Facts{Now: flowstest.Start, User: in("", 0).User, Request: &flows.Request{IP: "tokyo"}}, been(t, "paris")},
	} {
		if r, err := new(Signal).Read(t.Context(), tc.f, tc.note); err != nil || !r.Unknown {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestLearnKeepsFivePlacesAndNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	note := been(t, "tokyo", "lyon", "paris", "nowhere", "paris", "paris", "paris")
	var all []login
	if err := json.Unmarshal(note, &all); err != nil || len(all) != 5 || all[0].Latitude != 45.8 || all[4].Longitude != 2.4 {
		t.Errorf("%s, %v", note, err)
	}
	if len(note) > 400 || strings.Contains(string(note), "48.85") {
		t.Errorf("%s", note)
	}
}

func TestSpeedAndNear(t *testing.T) {
	t.Parallel()
	s := &Signal{Speed: 100, Near: 400}
	if r, _ := s.Read(t.Context(), in("lyon", 5*time.Minute), been(t, "paris")); r.Score != 0 {
		t.Errorf("near is far: %+v", r)
	}
	if r, _ := s.Read(t.Context(), in("tokyo", 48*time.Hour), been(t, "paris")); r.Score != 100 {
		t.Errorf("slow is fast: %+v", r)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want float64
	}{{"paris", "tokyo", 9713}, {"paris", "lyon", 392}, {"paris", "paris", 0}, {"fiji", "samoa", 960}} {
		a, b := places[tc.a], places[tc.b]
		if d := distance(a.Latitude, a.Longitude, b.Latitude, b.Longitude); math.Abs(d-tc.want) > 15 {
			t.Errorf("%s to %s: %f km", tc.a, tc.b, d)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"travel x", "travel takes no argument"},
		{"travel {\nfast 1\n}", "travel has no option 'fast'; there are: near, speed"},
		{"travel {\nspeed\n}", "wrong argument count"},
		{"travel {\nspeed mach1\n}", "no number such as 900"},
		{"travel {\nnear 0\n}", "no number"},
		{"travel {\nspeed 1\nspeed 2\n}", "written twice"},
	} {
		if err := new(Signal).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}

// FuzzRead: whatever was noted, there is a reading or an error.
func FuzzRead(f *testing.F) {
	f.Add([]byte(been(f, "paris", "tokyo")))
	f.Add([]byte(`[{"lat":1e300,"lon":-1e300,"r":18446744073709551615,"t":-9223372036854775808}]`))
	f.Fuzz(func(t *testing.T, note []byte) {
		r, err := new(Signal).Read(t.Context(), in("tokyo", 0), note)
		if err == nil && (r.Score < 0 || r.Score > 100 || len(r.Text) > 200) {
			t.Errorf("%+v", r)
		}
	})
}
