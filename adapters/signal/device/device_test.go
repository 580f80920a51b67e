package device

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func facts(d flows.DeviceFacts) *flows.Facts {
	return &flows.Facts{Now: flowstest.Start, Request: &flows.Request{IP: "198.51.100.7"}, User: &flows.User{Key: "corp:maria", Name: "maria"}, Device: d}
}

func TestConformance(t *testing.T) {
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: new(Device), Facts: []*flows.Facts{
		facts(flows.DeviceFacts{}), facts(flows.DeviceFacts{ID: "b1"}), facts(flows.DeviceFacts{ID: "b1", Known: true}), facts(flows.DeviceFacts{ID: "b1", Known: true, Trusted: true}),
	}})
}

func TestNewKnownTrustedAndUnknownDevices(t *testing.T) {
	set := new(Device)
	if err := set.UnmarshalCaddyfile(caddyfile.NewTestDispenser("device {\nnew 80\nknown 20\ntrusted 5\n}")); err != nil {
		t.Fatal(err)
	}
	trusted := facts(flows.DeviceFacts{ID: "b1"})
	trusted.Evidence = []flows.Evidence{{Kind: flows.DeviceTrust}}
	nobody := facts(flows.DeviceFacts{ID: "b1"})
	nobody.User = nil
	for what, c := range map[string]struct {
		f              *flows.Facts
		scores         [2]int // by default, as set
		reason         flows.Reason
		unknown, fails bool
	}{
		"no cookie":         {facts(flows.DeviceFacts{}), [2]int{100, 80}, flows.ReasonNewDevice, false, false},
		"somebody else's":   {facts(flows.DeviceFacts{ID: "b1"}), [2]int{100, 80}, flows.ReasonNewDevice, false, false},
		"their own":         {facts(flows.DeviceFacts{ID: "b1", Known: true}), [2]int{0, 20}, flows.ReasonKnownDevice, false, false},
		"trusted":           {facts(flows.DeviceFacts{ID: "b1", Known: true, Trusted: true}), [2]int{0, 5}, flows.ReasonTrustedDevice, false, false},
		"trusted in a flow": {trusted, [2]int{0, 5}, flows.ReasonTrustedDevice, false, false},
		"nobody yet":        {nobody, [2]int{}, "", true, false},
		"it cannot be told": {facts(flows.DeviceFacts{Unknown: true}), [2]int{}, "", false, true},
	} {
		for i, s := range []*Device{new(Device), set} {
			r, err := s.Read(t.Context(), c.f, nil)
			if r.Score != c.scores[i] || r.Reason != c.reason || r.Unknown != c.unknown || (err != nil) != c.fails {
				t.Errorf("%s, %d: got %+v, %v", what, i, r, err)
			}
		}
	}
}

func TestWordsThatMakeNoSense(t *testing.T) {
	for text, want := range map[string]string{
		"device x":                   "takes no 'x'",
		"device {\nold 3\n}":         "there are: known, new, timeout, trusted, unknown",
		"device {\nnew\n}":           "takes a score, but got 0 words",
		"device {\nnew 101\n}":       "from 0 to 100, not '101'",
		"device {\nnew x\n}":         "not 'x'",
		"device {\nnew 1\nnew 2\n}":  "written twice",
		"device {\nknown -1\n}":      "not '-1'",
		"device {\ntrusted 1 2 3\n}": "got 3 words",
	} {
		if err := new(Device).UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	n := 101
	if (&Device{New: &n}).Validate() == nil {
		t.Error("a score of 101 is valid in JSON")
	}
}
