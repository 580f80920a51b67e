package velocity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func node(t testing.TB, reg *flowstest.Registry, lines string) *Signal {
	t.Helper()
	s := new(Signal)
	if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("velocity {\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := errors.Join(s.Provision(ctx), s.Bind(reg)); err != nil {
		t.Fatal(err)
	}
	return s
}

func vaultOf(reg *flowstest.Registry) *flowstest.Vault { return reg.VaultOf("counts in 15m0s") }

func anna(ip string) *flows.Facts {
	return &flows.Facts{
		Now: flowstest.Start, User: &flows.User{Key: "corp:u-1", Name: "anna", Subject: "u-1", Email: "anna@corp.example"},
		Request: &flows.Request{IP: ip},
	}
}

func (s *Signal) wrong(t testing.TB, name, ip string) {
	t.Helper()
	err := s.Report(t.Context(), &flows.Report{ID: "1", Kind: "try", Time: s.now(), Reason: flows.ReasonBadCredentials, Name: name, IP: ip})
	if err != nil {
		t.Fatal(err)
	}
}

func score(t testing.TB, s *Signal, f *flows.Facts) int {
	t.Helper()
	r, err := s.Read(t.Context(), f, nil)
	if err != nil || r.Unknown || (r.Score > 0) != (r.Reason == flows.ReasonManyFailures) {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Score
}

func TestSignal(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	s := node(t, reg, "")
	s.wrong(t, "anna", "192.0.2.1")
	flowstest.TestSignal(t, flowstest.SignalCase{
		Guest: s, Facts: []*flows.Facts{anna("192.0.2.1"), anna("203.0.113.1")},
		Kept: func() string { return fmt.Sprint(vaultOf(reg).Writes()) },
	})
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		tries map[string]int // "name ip" → times
		from  string
		want  int
	}{
		{"nothing", nil, "192.0.2.1", 0},
		{"once", map[string]int{"anna 198.51.100.1": 1}, "192.0.2.1", 20},
		{"as often as is too much", map[string]int{"anna 198.51.100.1": 5}, "192.0.2.1", 100},
		{"more", map[string]int{"anna 198.51.100.1": 50}, "192.0.2.1", 100},
		{"spelt in several ways", map[string]int{"Anna 198.51.100.1": 2, "ANNA@corp.example 198.51.100.2": 2, " anna 203.0.113.9": 1}, "192.0.2.1", 100},
		{"somebody else", map[string]int{"bert 198.51.100.1": 5}, "192.0.2.1", 0},
		{"somebody else from here", map[string]int{"bert 192.0.2.1": 5}, "192.0.2.1", 50},
		{"many names from the network", map[string]int{"b 192.0.2.3": 25}, "192.0.2.1", 50},
		{"the same customer", map[string]int{"b 2001:db8::9": 5}, "2001:db8::1", 50},
		{"neighbours", map[string]int{"b 2001:db8:0:1::9": 25}, "2001:db8::1", 50},
		{"IPv4 in the clothes of IPv6", map[string]int{"b ::ffff:192.0.2.1": 10}, "192.0.2.1", 100},
	} {
		reg := flowstest.NewRegistry()
		s := node(t, reg, "user 5\naddress 10\nnetwork 50")
		for who, n := range tc.tries {
			name, ip := strings.TrimSpace(who[:strings.LastIndexByte(who, ' ')]), who[strings.LastIndexByte(who, ' ')+1:]
			for range n {
				s.wrong(t, name, ip)
			}
		}
		if got := score(t, s, anna(tc.from)); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestOnlyWrongAnswersCount(t *testing.T) {
	t.Parallel()
	s := node(t, flowstest.NewRegistry(), "")
	for _, r := range []flows.Report{
		{Granted: true, User: "corp:u-1", Name: "anna", IP: "192.0.2.1"},
		{Reason: flows.ReasonNotAllowed, User: "corp:u-1", IP: "192.0.2.1"},
		{Reason: flows.ReasonProviderDown, Name: "anna", IP: "192.0.2.1"},
	} {
		if r.Time = flowstest.Start; s.Report(t.Context(), &r) != nil || score(t, s, anna("192.0.2.1")) != 0 {
			t.Errorf("%+v counts", r)
		}
	}
	r := flows.Report{Time: flowstest.Start, Reason: flows.ReasonWrongCode, User: "corp:u-1", Name: "anna", IP: "198.51.100.1"}
	if s.Report(t.Context(), &r) != nil || score(t, s, anna("192.0.2.1")) != 20 {
		t.Error("a wrong code does not count once")
	}
}

func TestWindowSlides(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	s := node(t, reg, "")
	for range 5 {
		s.wrong(t, "anna", "198.51.100.1")
	}
	for _, step := range []struct {
		by   time.Duration
		want int
	}{{14 * time.Minute, 100}, {time.Minute, 100}, {7*time.Minute + 30*time.Second, 60}, {7 * time.Minute, 0}, {time.Hour, 0}} {
		reg.Forward(step.by)
		if got := score(t, s, anna("192.0.2.1")); got != step.want {
			t.Errorf("%s later: %d, want %d", reg.Now().Sub(flowstest.Start), got, step.want)
		}
	}
}

// All nodes count together, and a node that comes back knows what was counted.
func TestNodesCountTogether(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	a, b := node(t, reg, ""), node(t, reg, "")
	for range 2 {
		a.wrong(t, "anna", "198.51.100.1")
		b.wrong(t, "anna", "203.0.113.1")
	}
	if got := score(t, a, anna("192.0.2.1")); got != 40 {
		t.Errorf("a node knows %d of its own before they are shared", got)
	}
	for _, n := range []*Signal{a, b} {
		if err := n.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*Signal{a, b, node(t, reg, "")} {
		if got := score(t, n, anna("192.0.2.1")); got != 80 {
			t.Errorf("together they know %d", got)
		}
	}
	before := vaultOf(reg).Writes()
	if err := a.flush(t.Context()); err != nil || vaultOf(reg).Writes() != before {
		t.Error("nothing new was written")
	}
}

func TestStoreIsDown(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	s := node(t, reg, "")
	s.wrong(t, "anna", "198.51.100.1")
	vaultOf(reg).SetDown(true)
	s.wrong(t, "anna", "198.51.100.1")
	if _, err := s.Read(t.Context(), anna("192.0.2.1"), nil); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("what cannot be read is %v", err)
	}
	if err := s.flush(t.Context()); !errors.Is(err, flows.ErrUnavailable) {
		t.Error(err)
	}
	vaultOf(reg).SetDown(false)
	if got := score(t, s, anna("192.0.2.1")); got != 40 {
		t.Errorf("what was counted meanwhile is lost: %d", got)
	}
	if err := s.flush(t.Context()); err != nil || score(t, s, anna("192.0.2.1")) != 40 {
		t.Error("written, it counts differently")
	}
}

// I09: a flood of strangers neither grows what is kept nor drives anybody's count out,
// costs no write of its own, and does not make others look bad.
func TestI09FloodIsBounded(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry()
	s := node(t, reg, "")
	for range 5 {
		s.wrong(t, "anna", "198.51.100.1")
	}
	const strangers = 20_000
	for i := range strangers {
		s.wrong(t, fmt.Sprintf("stranger-%d", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	if w := vaultOf(reg).Writes(); w > 1 {
		t.Errorf("%d wrong answers made %d writes", strangers, w)
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := vaultOf(reg).Writes(); w > pages+1 {
		t.Errorf("sharing them made %d writes", w)
	}
	total := 0
	for n := range pages {
		b, err := vaultOf(reg).Get(t.Context(), pageKey(n))
		if err != nil {
			t.Fatal(err)
		}
		total += len(b)
	}
	if total > 3<<20 {
		t.Errorf("%d bytes are kept", total)
	}
	if got := score(t, s, anna("192.0.2.1")); got != 100 {
		t.Errorf("the flood drove out what was counted for anna: %d", got)
	}
	worse := 0
	for i := range 200 {
		f := anna(fmt.Sprintf("203.0.%d.1", i))
		f.User = &flows.User{Key: flows.UserKey(fmt.Sprintf("corp:p%d", i)), Name: fmt.Sprintf("p%d", i)}
		if score(t, s, f) > 20 {
			worse++
		}
	}
	if worse > 10 {
		t.Errorf("%d of 200 others look bad", worse)
	}
}

func TestPagesAreWhatWasWritten(t *testing.T) {
	t.Parallel()
	p := &page{slot: 7}
	p.add([2]uint16{3, cells - 1})
	p.turn(8)
	p.add([2]uint16{3, 0})
	q, err := pageOf(p.bytes())
	if err != nil || *q != *p {
		t.Errorf("%v", err)
	}
	if _, err := pageOf([]byte("short")); err == nil {
		t.Error("what is damaged is read")
	}
	for range 3 {
		p.merge(&page{slot: 8, now: [2][cells]uint16{{3: most}}})
	}
	if p.now[0][3] != most {
		t.Errorf("a count turns over: %d", p.now[0][3])
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"velocity x", "velocity takes no argument"},
		{"velocity {\nip 5\n}", "velocity has no option 'ip'; there are: address, network, user, window"},
		{"velocity {\nuser\n}", "wrong argument count"},
		{"velocity {\nuser 0\n}", "no number of wrong answers"},
		{"velocity {\nuser 70000\n}", "no number of wrong answers"},
		{"velocity {\nuser 1\nuser 2\n}", "written twice"},
		{"velocity {\nwindow soon\n}", "no duration"},
		{"velocity {\nwindow 1s\n}", "between 1m and 24h"},
	} {
		if err := new(Signal).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
}
