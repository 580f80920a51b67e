package module_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// ofProgram opens a stream with a credential.
func (g *gateway) ofProgram(token, path string, upgrade bool) *openStream {
	b := browser.New()
	g.t.Cleanup(b.Close)
	b.Header.Set("X-Forwarded-For", "198.51.100.7\r\nAuthorization: Bearer "+token)
	return g.listens(b, path, upgrade)
}

// streamingPrograms is a route whose programs are introspected, and their streams.
func streamingPrograms(t *testing.T, more string) (*gateway, *testClock, *asServer) {
	t.Helper()
	clock, as := newClock(t), newAS(t)
	app := streaming(t)
	g := start(t, as.provider(), "protect {\nheader X-User {user.name}\n"+more+"\napi machines\n}\nreverse_proxy "+app+" {\nflush_interval -1\n}")
	for _, token := range []string{"tok-1", "tok-2"} {
		as.active[token] = map[string]any{"sub": token, "username": "robot-" + token, "aud": "payroll", "groups": []string{"machines"}}
	}
	return g, clock, as
}

// A stream of a program is believed as long as its requests: then the issuer is asked
// again, once for all streams of a token, and who was revoked is cut.
func TestB16StreamsOfRevokedTokens(t *testing.T) {
	for _, upgrade := range []bool{false, true} {
		t.Run(fmt.Sprintf("upgrade %v", upgrade), func(t *testing.T) {
			g, clock, as := streamingPrograms(t, "")
			var one []*openStream
			for range 20 {
				one = append(one, g.ofProgram("tok-1", "/x", upgrade))
			}
			two := g.ofProgram("tok-2", "/x", upgrade)
			if n := as.asked.Load(); n != 2 {
				t.Fatalf("asked %d times for two tokens", n)
			}
			as.set(func() { delete(as.active, "tok-1") })
			clock.Advance(59 * time.Second)
			for _, s := range one {
				s.goesOn(t, "while it is believed")
			}
			if n := as.asked.Load(); n != 2 {
				t.Fatalf("asked %d times while the answers were believed", n)
			}
			clock.Advance(time.Second)
			for _, s := range one { // the sweep does it
				s.cut(t, "revoked")
			}
			two.goesOn(t, "not revoked")
			if n := as.asked.Load(); n != 4 {
				t.Errorf("asked %d times, want each token once more", n)
			}
			clock.Advance(30 * time.Second) // judged again, and still believed
			two.goesOn(t, "not revoked, a while later")
			if n := as.asked.Load(); n != 4 {
				t.Errorf("asked %d times while the answer was believed", n)
			}
			if n := g.count("client_admitted"); n != 2 {
				t.Errorf("%d events for two unchanged decisions", n)
			}
		})
	}
}

// Who cannot be asked has not said yes: requests get 503 then, and streams end. One
// question is enough for all of a token.
func TestI16StreamsOfTokensThatCannotBeAskedAbout(t *testing.T) {
	g, clock, as := streamingPrograms(t, "")
	var all []*openStream
	for range 20 {
		all = append(all, g.ofProgram("tok-1", "/x", true))
	}
	as.set(func() { as.broken = http.StatusInternalServerError })
	clock.Advance(59 * time.Second)
	all[0].goesOn(t, "while it is believed")
	clock.Advance(2 * time.Second)
	for _, s := range all {
		s.cut(t, "the issuer is down")
	}
	if n := as.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	as.set(func() { as.broken = 0 })
	g.ofProgram("tok-1", "/x", true).goesOn(t, "when it is back")
}

// An issuer that hangs holds nothing open: what is not answered in time is no.
func TestI16StreamsOfTokensAndAnIssuerThatHangs(t *testing.T) {
	g, clock, as := streamingPrograms(t, "")
	s := g.ofProgram("tok-1", "/x", true)
	hold := make(chan struct{})
	as.set(func() { as.hold = hold })
	defer close(hold)
	clock.Advance(61 * time.Second)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}

// What the issuer says by now is what the rules judge, and the route's flow.
func TestB16StreamsOfProgramsAreJudgedByWhatTheyAre(t *testing.T) {
	g, clock, as := streamingPrograms(t, "require /x `\"machines\" in user.groups`\nrequire /short `session.age < duration(\"40s\")`")
	s, short := g.ofProgram("tok-1", "/x", false), g.ofProgram("tok-2", "/short", false)
	clock.Advance(45 * time.Second)
	s.goesOn(t, "a rule that holds")
	short.cut(t, "a rule about time")
	as.set(func() {
		as.active["tok-1"] = map[string]any{"sub": "tok-1", "username": "robot-tok-1", "aud": "payroll", "groups": []string{"retired"}}
	})
	clock.Advance(16 * time.Second)
	s.cut(t, "out of the group")
	if e := g.events("denied", 2); len(e) != 2 || e[1]["path"] != "/x" {
		t.Errorf("the trail says %v", e)
	}
}
