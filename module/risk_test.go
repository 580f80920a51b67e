package module_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(new(scripted)) }

// scripted is a signal that finds 203.0.113.0/24 unusual, notes addresses, and does
// what a test wants.
type scripted struct {
	flows.SignalOptions
}

// script is what it does; nil: as said.
var script struct {
	sync.Mutex
	read  func(f *flows.Facts) (flows.Reading, error)
	learn func() (json.RawMessage, error)
	reads int
}

func (*scripted) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.signals.scripted", New: func() caddy.Module { return new(scripted) }}
}

func (*scripted) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for d.NextBlock(0) {
	}
	return nil
}

func (*scripted) Read(_ context.Context, f *flows.Facts, _ json.RawMessage) (flows.Reading, error) {
	script.Lock()
	script.reads++
	read := script.read
	script.Unlock()
	if read != nil {
		return read(f)
	}
	if strings.HasPrefix(f.Request.IP, "203.0.113.") {
		return flows.Reading{Score: 100, Reason: "new_place"}, nil
	}
	return flows.Reading{}, nil
}

func (*scripted) Learn(f *flows.Facts, _ json.RawMessage) (json.RawMessage, error) {
	script.Lock()
	defer script.Unlock()
	if script.learn != nil {
		return script.learn()
	}
	return json.Marshal(f.Request.IP)
}

// scripts sets what the signal does, for one test.
func scripts(t *testing.T, read func(*flows.Facts) (flows.Reading, error)) {
	t.Helper()
	set := func(read func(*flows.Facts) (flows.Reading, error)) {
		script.Lock()
		defer script.Unlock()
		script.read, script.learn, script.reads = read, nil, 0
	}
	set(read)
	t.Cleanup(func() { set(nil) })
}

func reads() int {
	script.Lock()
	defer script.Unlock()
	return script.reads
}

// riskFlow asks for a second factor at any risk that is not low.
const riskFlow = "trusted_proxies static 127.0.0.0/8\nsignal device device\nsignal place scripted\nfactor totp\nflow staff {\nlogin idp\nrisk device=30 place=40\n" +
	"when `risk.level != \"low\"` {\nmfa totp {\nenroll allow\n}\n}\n}\n"

const riskSite = "protect staff {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}"

// from puts a browser at an address.
func from(b *browser.Browser, ip string) { b.Header.Set("X-Forwarded-For", ip) }

func arrives(t *testing.T, ip string) *browser.Browser {
	t.Helper()
	b := newBrowser(t)
	from(b, ip)
	return b
}

// riskRig is a person with a second factor that a risky login asks for, and a browser
// they signed in with.
func riskRig(t *testing.T, global, site string) (g *gateway, clock *testClock, secret string, b *browser.Browser) {
	t.Helper()
	clock, op := newClock(t), newOP(t)
	g = start(t, asked(t, "idp", op)+strings.Replace(global, "enroll allow", "enroll require", 1), site)
	b = arrives(t, "198.51.100.7")
	mfaUser(op, "pwd", "mfa")
	p := g.open(b, g.url("/a"))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("a new device is not asked to set up a factor: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	secret = strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, secret, clock))
	landed(t, p, "/a", "idp:u-alice")
	mfaUser(op)
	clock.Advance(time.Minute)
	return g, clock, secret, b
}

func browserCookie(t *testing.T, g *gateway, b *browser.Browser) *http.Cookie {
	t.Helper()
	for _, c := range b.Jar.Cookies(g.url("/")) {
		if strings.HasSuffix(c.Name, ".browser") {
			return c
		}
	}
	return nil
}

// "A new device gets a second factor; a known one does not; and the log says why."
func TestB28ANewDeviceIsChallengedAndAKnownOneIsNot(t *testing.T) {
	scripts(t, nil)
	g, clock, secret, b := riskRig(t, riskFlow, riskSite)
	if c := browserCookie(t, g, b); c == nil || len(c.Name)+len(c.Value) > 60 {
		t.Fatalf("the browser's cookie: %v", c)
	}
	landed(t, g.again(t, b), "/a", "idp:u-alice") // the second visit

	other := arrives(t, "198.51.100.7")
	p := g.open(other, g.url("/a"))
	asksForCode(t, "another device", p)
	if browserCookie(t, g, other) != nil {
		t.Error("a browser gets its cookie before a login is finished")
	}
	landed(t, fill(t, p, "code", code(t, secret, clock)), "/a", "idp:u-alice")
	landed(t, g.again(t, other), "/a", "idp:u-alice")

	from(b, "203.0.113.9") // a known device from a new place
	asksForCode(t, "from elsewhere", g.again(t, b))

	logins := g.events("login", 4)
	risk := func(i int) (float64, string, map[string]any) {
		r, _ := logins[i]["risk"].(map[string]any)
		s, _ := r["score"].(float64)
		l, _ := r["level"].(string)
		m, _ := r["readings"].(map[string]any)
		return s, l, m
	}
	score, level, readings := risk(0)
	if device, _ := readings["device"].(map[string]any); score != 30 || level != "medium" || device["reason"] != "new_device" || device["score"] != 100.0 || device["weight"] != 30.0 || device["contribution"] != 30.0 {
		t.Errorf("the trail says %v %v %v", score, level, readings)
	}
	if score, level, readings = risk(1); score != 0 || level != "low" || readings["device"].(map[string]any)["reason"] != "known_device" {
		t.Errorf("the trail says %v %v %v", score, level, readings)
	}
}

// Several people use one browser: it is new to each of them once, and keeps one id.
func TestB28ABrowserIsNewToEachPerson(t *testing.T) {
	scripts(t, nil)
	global := people(t) + "signal device device\nflow staff {\nlogin corp\nrisk device\nset d `string(risk.score)`\n}\n"
	g := start(t, global, "protect staff {\nheader X-D {user.d}\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	signIn := func(name string) string {
		t.Helper()
		g.again(t, b)
		p := g.signIn(b, "/a", name, name+"pw")
		want(t, p, http.StatusOK)
		d := header(p.Body, "X-D")
		if len(d) != 1 {
			t.Fatalf("no score: %s", p.Body)
		}
		return d[0]
	}
	first := signIn("alice")
	id := browserCookie(t, g, b)
	got := []string{first, signIn("bob"), signIn("alice"), signIn("bob")}
	if fmt.Sprint(got) != "[100 100 0 0]" {
		t.Errorf("scores %v", got)
	}
	if now := browserCookie(t, g, b); now == nil || id == nil || now.Value != id.Value {
		t.Errorf("the browser's id changed from %v to %v", id, now)
	}
	u, _ := url.Parse(g.url("/"))
	b.Jar.Set(u, []*http.Cookie{{Name: id.Name, Value: "AAAAAAAAAAAAAAAAAAAAAAAAAA", Path: "/"}}) // made up
	if d := signIn("alice"); d != "100" {
		t.Errorf("an id that nobody was given is known: %s", d)
	}
}

// observe reads, and the trail has it, but nobody meets it.
func TestB28ObserveNeverBlocks(t *testing.T) {
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 100, Reason: "new_place"}, nil })
	global := people(t) + "signal place scripted\nflow staff {\nlogin corp\nrisk place {\nobserve\n}\nwhen `risk.score > 0 || risk.level != \"low\" || size(risk.reasons) > 0` {\ndeny \"no\"\n}\n}\n"
	g := start(t, global, "protect staff {\nrequire `risk.level == \"low\" && risk.score == 0` \"no\"\n}\nreverse_proxy {APP}")
	g.signedIn("/a", "alice", "alicepw")
	risk, _ := g.events("login", 1)[0]["risk"].(map[string]any)
	if risk["score"] != 0.0 || risk["level"] != "low" || risk["observed"] != 100.0 || risk["readings"].(map[string]any)["place"].(map[string]any)["observed"] != true {
		t.Errorf("the trail says %v", risk)
	}
}

// A signal that fails, panics, lies or hangs is unknown, with its own weight, and ends no login.
func TestI22AFailingSignalIsUnknown(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for what, read := range map[string]func(*flows.Facts) (flows.Reading, error){
		"fails":  func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 3}, errors.New("down") },
		"panics": func(*flows.Facts) (flows.Reading, error) { panic("no") },
		"lies":   func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 1000}, nil },
		"hangs":  func(*flows.Facts) (flows.Reading, error) { <-hang; return flows.Reading{}, nil },
	} {
		t.Run(what, func(t *testing.T) {
			scripts(t, read)
			global := people(t) + "signal place scripted {\nunknown 60\ntimeout 1s\n}\nflow staff {\nlogin corp\nrisk place=50\n}\n"
			g := start(t, global, "protect staff {\nrequire `risk.score == 30 && risk.reasons == [\"signal_failed\"]` \"no\"\n}\nreverse_proxy {APP}")
			g.signedIn("/a", "alice", "alicepw")
		})
	}
}

// What is usual for a person is theirs to read and to have erased, is bounded, and is
// not learned from what was not finished.
func TestAProfileIsBoundedAndErased(t *testing.T) {
	scripts(t, nil)
	clock := newClock(t)
	global := people(t) + "signal device device\nsignal place scripted\nflow staff {\nlogin corp\nrisk device place\n}\n"
	g := start(t, global, "protect staff\nreverse_proxy {APP}")
	kept := func() []flows.Kept {
		t.Helper()
		for _, k := range theApp(t).Keepers() {
			if k.Keeps() == "profile" {
				list, err := k.Export(t.Context(), "corp:alice")
				if err != nil {
					t.Fatal(err)
				}
				return list
			}
		}
		t.Fatal("nobody keeps profiles")
		return nil
	}
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	if p, err := p.Fill("username", "alice", "password", "wrong"); err != nil || p.Status != http.StatusUnauthorized || len(kept()) != 0 {
		t.Fatalf("a wrong password is learned from: %v, %v", kept(), err)
	}
	g.signIn(b, "/a", "alice", "alicepw")
	list := kept()
	if len(list) != 2 || list[0].Name != "place" || list[0].Value != `"127.0.0.1"` || list[1].Name != "device" {
		t.Fatalf("kept: %+v", list)
	}
	for _, bad := range []func() (json.RawMessage, error){
		func() (json.RawMessage, error) {
			return json.RawMessage(`"` + strings.Repeat("x", flows.MaxLearned) + `"`), nil
		},
		func() (json.RawMessage, error) { return json.RawMessage(`x`), nil },
		func() (json.RawMessage, error) { return nil, errors.New("no") },
		func() (json.RawMessage, error) { panic("no") },
	} {
		script.Lock()
		script.learn = bad
		script.Unlock()
		g.again(t, b)
		want(t, g.signIn(b, "/a", "alice", "alicepw"), http.StatusOK)
		if list := kept(); len(list) != 2 || list[0].Value != `"127.0.0.1"` {
			t.Errorf("a bad note is kept: %+v", list)
		}
	}
	clock.Advance(181 * 24 * time.Hour)
	if list := kept(); len(list) != 0 {
		t.Errorf("after half a year: %+v", list)
	}
	g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	if len(kept()) == 0 {
		t.Fatal("nothing is kept")
	}
	for _, k := range theApp(t).Keepers() {
		if err := k.Erase(t.Context(), "corp:alice"); k.Keeps() == "profile" && err != nil {
			t.Fatal(err)
		}
	}
	if list := kept(); len(list) != 0 {
		t.Errorf("erased: %+v", list)
	}
}

// A trusted browser is asked again as soon as there is risk (I24), with real readings.
func TestI24RememberYieldsToWhatSignalsRead(t *testing.T) {
	scripts(t, nil)
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+"trusted_proxies static 127.0.0.0/8\nsignal place scripted\nfactor totp\nfactor recovery\nflow staff {\nlogin idp\nrisk place=50 {\nbands 40 90\n}\nmfa totp recovery {\nremember 30d\n}\n}\n", factorSite)
	first := arrives(t, "198.51.100.7")
	secret, _, _ := g.enrolled(t, op, clock, first)
	b := arrives(t, "198.51.100.7")
	clock.Advance(time.Minute)
	landed(t, fill(t, g.open(b, g.url("/a")), "code", code(t, secret, clock), "remember", "1"), "/a", "idp:u-alice")
	landed(t, g.again(t, b), "/a", "idp:u-alice")
	from(b, "203.0.113.9")
	asksForCode(t, "at a risk that is not low", g.again(t, b))
	from(b, "198.51.100.8")
	landed(t, g.again(t, b), "/a", "idp:u-alice")
}
