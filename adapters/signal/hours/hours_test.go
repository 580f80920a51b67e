package hours

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func start(t testing.TB, lines string) *Signal {
	t.Helper()
	s := new(Signal)
	if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("hours {\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := s.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func at(when time.Time) *flows.Facts {
	return &flows.Facts{Now: when, User: &flows.User{Key: "corp:anna", Name: "anna"}, Request: &flows.Request{IP: "192.0.2.1"}}
}

// monday is one, at midnight.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// worked is what is noted of weeks of logins at nine and at one o'clock on working days.
func worked(t testing.TB, s *Signal, weeks int) (note json.RawMessage, end time.Time) {
	t.Helper()
	var err error
	for d := range weeks * 7 {
		if d%7 > 4 {
			continue
		}
		for _, h := range []int{9, 13} {
			if note, err = s.Learn(at(monday.AddDate(0, 0, d).Add(time.Duration(h)*time.Hour)), note); err != nil {
				t.Fatal(err)
			}
		}
	}
	return note, monday.AddDate(0, 0, weeks*7)
}

func TestSignal(t *testing.T) {
	t.Parallel()
	s := start(t, "zone Europe/Paris")
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: s, Facts: []*flows.Facts{at(monday), at(monday.Add(9 * time.Hour))}})
}

func TestRead(t *testing.T) {
	t.Parallel()
	s := start(t, "")
	note, next := worked(t, s, 3)
	for _, tc := range []struct {
		name  string
		after time.Duration
		want  int
	}{
		{"nine o'clock", 9 * time.Hour, 0},
		{"the hour before", 8*time.Hour + 59*time.Minute, 0},
		{"the hour behind", 14 * time.Hour, 0},
		{"three at night", 3 * time.Hour, 100},
		{"eleven", 11 * time.Hour, 100},
		{"nine on a Saturday", 5*24*time.Hour + 9*time.Hour, 100},
	} {
		r, err := s.Read(t.Context(), at(next.Add(tc.after)), note)
		if err != nil || r.Unknown || r.Score != tc.want || (r.Score > 0) != (r.Reason == flows.ReasonUnusualTime) {
			t.Errorf("%s: %+v, %v", tc.name, r, err)
		}
	}
	few, end := worked(t, s, 1)
	if r, err := s.Read(t.Context(), at(end.Add(3*time.Hour)), few); err != nil || r.Unknown {
		t.Errorf("ten logins are not enough: %+v, %v", r, err)
	}
	if r, err := start(t, "after 11").Read(t.Context(), at(end.Add(3*time.Hour)), few); err != nil || !r.Unknown {
		t.Errorf("ten logins are eleven: %+v, %v", r, err)
	}
	if r, err := s.Read(t.Context(), at(monday), nil); err != nil || !r.Unknown {
		t.Errorf("nothing is known: %+v, %v", r, err)
	}
}

func TestRareHoursScoreBetween(t *testing.T) {
	t.Parallel()
	s := start(t, "")
	note, next := worked(t, s, 3)
	for range 2 { // two of 32
		note, _ = s.Learn(at(next.Add(20*time.Hour)), note)
	}
	r, err := s.Read(t.Context(), at(next.Add(20*time.Hour)), note)
	if err != nil || r.Score < 20 || r.Score > 50 || r.Text != "Mon 20:00 UTC" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Habits change: what was learned half a year ago is forgotten bit by bit.
func TestHabitsFade(t *testing.T) {
	t.Parallel()
	s := start(t, "")
	note, next := worked(t, s, 4)
	if r, _ := s.Read(t.Context(), at(next.AddDate(1, 0, 0)), note); !r.Unknown {
		t.Errorf("a year later: %+v", r)
	}
	night := next.AddDate(0, 4, 0)
	for d := range 30 {
		note, _ = s.Learn(at(night.AddDate(0, 0, d).Truncate(24*time.Hour).Add(23*time.Hour)), note)
	}
	for _, d := range []int{30, 31, 32, 33, 34, 35, 36} {
		if r, _ := s.Read(t.Context(), at(night.AddDate(0, 0, d).Truncate(24*time.Hour).Add(23*time.Hour)), note); r.Score != 0 || r.Unknown {
			t.Errorf("the new shift: %+v", r)
		}
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	s := start(t, "zone America/New_York")
	note, next := worked(t, s, 3) // nine in UTC: four at night there
	if r, _ := s.Read(t.Context(), at(next.Add(9*time.Hour)), note); r.Score != 0 || r.Unknown {
		t.Errorf("%+v", r)
	}
	sunday := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC) // Monday in UTC
	if r, _ := s.Read(t.Context(), at(sunday), note); r.Text != "Sun 21:00 EST" {
		t.Errorf("%+v", r)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"hours x", "hours takes no argument"},
		{"hours {\nbetween 9 17\n}", "hours has no option 'between'; there are: after, zone"},
		{"hours {\nzone Paris\n}", "zone 'Paris' is no time zone such as Europe/Paris"},
		{"hours {\nzone Local\n}", "no time zone"},
		{"hours {\nafter 0\n}", "no number of logins"},
		{"hours {\nafter 1001\n}", "up to 1000"},
		{"hours {\nafter\n}", "wrong argument count"},
		{"hours {\nzone UTC\nzone UTC\n}", "written twice"},
	} {
		if err := new(Signal).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}
