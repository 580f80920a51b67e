package header

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func start(t testing.TB, lines string) *Signal {
	t.Helper()
	s := new(Signal)
	if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("header {\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := s.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func with(trusted bool, name string, values ...string) *flows.Facts {
	return &flows.Facts{
		Now: flowstest.Start, User: &flows.User{Key: "corp:anna", Name: "anna"},
		Request: &flows.Request{IP: "192.0.2.1", Trusted: trusted, Header: map[string][]string{name: values}},
	}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	s := start(t, "header cf-bot-score\nrange 99 1")
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: s, Facts: []*flows.Facts{
		with(true, "Cf-Bot-Score", "1"), with(true, "Cf-Bot-Score", "99"), with(false, "Cf-Bot-Score", "1"), with(true, "Cf-Bot-Score"),
	}})
}

func TestRead(t *testing.T) {
	t.Parallel()
	const unknown = -1
	for _, tc := range []struct {
		lines  string
		values []string
		want   int
	}{
		{"header Score", []string{"0"}, 0},
		{"header Score", []string{"73"}, 73},
		{"header Score", []string{"100"}, 100},
		{"header Score\nrange 99 1", []string{"1"}, 100},
		{"header Score\nrange 99 1", []string{"99"}, 0},
		{"header Score\nrange 99 1", []string{"50"}, 50},
		{"header Score\nrange 0 1", []string{"0.25"}, 25},
		{"header Score\nrange -1 1", []string{"-1"}, 0},
		{"header Score", nil, unknown},
		{"header Score", []string{"10", "10"}, unknown},
		{"header Score", []string{"10, 90"}, unknown},
		{"header Score", []string{""}, unknown},
		{"header Score", []string{"101"}, unknown},
		{"header Score", []string{"-1"}, unknown},
		{"header Score", []string{"NaN"}, unknown},
		{"header Score", []string{"1e1"}, unknown},
		{"header Score", []string{"0x10"}, unknown},
		{"header Score", []string{" 10"}, unknown},
		{"header Score", []string{strings.Repeat("1", 400)}, unknown},
		{"header Score\nrange 99 1", []string{"0"}, unknown},
	} {
		s := start(t, tc.lines)
		r, err := s.Read(t.Context(), with(true, "Score", tc.values...), nil)
		if err != nil || r.Unknown != (tc.want == unknown) || !r.Unknown && r.Score != tc.want {
			t.Errorf("%s: %q: %+v, %v", tc.lines, tc.values, r, err)
		}
	}
}

// Whoever reaches us past the network in front may write what they like.
func TestHeaderOfAStrangerIsNotRead(t *testing.T) {
	t.Parallel()
	for _, f := range []*flows.Facts{with(false, "Score", "0"), with(false, "Score", "100"), with(true, "SCORE", "0"), with(true, "score", "0")} {
		if r, err := start(t, "header Score").Read(t.Context(), f, nil); err != nil || !r.Unknown {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"header x", "header takes no argument"},
		{"header", "header names no header"},
		{"header {\nname x\n}", "header has no option 'name'; there are: header, range"},
		{"header {\nheader a b\n}", "wrong argument count"},
		{"header {\nheader a\nrange 1\n}", "wrong argument count"},
		{"header {\nheader a\nrange 1 x\n}", "range takes two numbers"},
		{"header {\nheader a\nrange 5 5\n}", "range 5 5 is none"},
		{"header {\nheader a:b\n}", "no name of a header"},
		{"header {\nheader a\nheader b\n}", "written twice"},
	} {
		if err := new(Signal).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-1.5", "1e5", "NaN", "..", "--1", "٣"} {
		f.Add(s)
	}
	s := start(f, "header Score\nrange 99 1")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := s.Read(t.Context(), with(true, "Score", text), nil)
		if err != nil || r.Score < 0 || r.Score > 100 || r.Unknown && r.Score != 0 {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	})
}
