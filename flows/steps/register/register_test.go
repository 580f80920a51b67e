package register

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// shelf is a provider that takes accounts.
type shelf struct {
	flows.ProviderOptions
	off    bool
	hashed int
	taken  map[string]flows.Account
}

func (s *shelf) Registers() bool { return !s.off }

func (s *shelf) Hash(_ context.Context, password string) (string, error) {
	s.hashed++
	return "hash of " + password, nil
}

func (s *shelf) Registered(_ context.Context, email string) (bool, error) {
	_, taken := s.taken[email]
	return taken, nil
}

func (s *shelf) Register(_ context.Context, a flows.Account) error {
	if _, taken := s.taken[a.Email]; taken {
		return flows.ErrExists
	}
	s.taken[a.Email] = a
	return nil
}

type desk struct{ sent []flows.Message }

func (d *desk) Send(_ context.Context, m flows.Message) error { d.sent = append(d.sent, m); return nil }

// rig is the step with all it works with.
type rig struct {
	t     *testing.T
	r     *Register
	reg   *flowstest.Registry
	shelf *shelf
	desk  *desk
	deeds []flows.Deed
	down  error
}

const long = "vier blaue Elefanten tanzen"

func start(t *testing.T, more string) *rig {
	t.Helper()
	g := &rig{t: t, r: new(Register), reg: flowstest.NewRegistry(), shelf: &shelf{taken: map[string]flows.Account{}}, desk: new(desk)}
	if err := g.r.UnmarshalCaddyfile(caddyfile.NewTestDispenser("register shop {\nmessenger mail\n" + more + "\n}")); err != nil {
		t.Fatal(err)
	}
	g.reg.Add("shop", "local", g.shelf)
	g.reg.Messengers = map[string]flows.Messenger{"mail": g.desk}
	if err := g.r.Bind(g.reg); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) run(id string) *flows.Execution {
	x := &flows.Execution{ID: id, Request: flows.Request{IP: "192.0.2.7", Host: "app.example.com"}}
	x.Env.Trail = func(_ context.Context, d flows.Deed) error {
		g.deeds = append(g.deeds, d)
		return g.down
	}
	return x
}

func (g *rig) enter(x *flows.Execution) {
	g.t.Helper()
	if o, err := g.r.Enter(g.t.Context(), x); err != nil || flowstest.Look(o).Kind != "ask" {
		g.t.Fatal(o, err)
	}
}

func (g *rig) resume(x *flows.Execution, pairs ...string) flowstest.Seen {
	g.t.Helper()
	in := flows.Input{Values: map[string][]string{}}
	for i := 0; i < len(pairs); i += 2 {
		in.Values[pairs[i]] = []string{pairs[i+1]}
	}
	o, err := g.r.Resume(g.t.Context(), x, in)
	if err != nil {
		g.t.Fatal(err)
	}
	return flowstest.Look(o)
}

func (g *rig) account(x *flows.Execution, email string) flowstest.Seen {
	g.t.Helper()
	g.enter(x)
	return g.resume(x, "email", email, "display_name", "Anna", "password", long)
}

// code is the one that was sent last.
func (g *rig) code() string { return g.desk.sent[len(g.desk.sent)-1].Secret["code"] }

func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

func TestRegisterIsAStep(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	flowstest.TestStep(t, g.r, func() *flows.Execution { return g.run("1") })
	x := g.run("1")
	x.User = &flows.User{Key: "shop:1"}
	if o, err := g.r.Enter(t.Context(), x); err != nil || flowstest.Look(o).Kind != "continue" {
		t.Errorf("who is signed in is asked: %v, %v", o, err)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	x := g.run("1")
	seen := g.account(x, "anna@example.com")
	if seen.Page.Kind != "register_code" || !x.Guarded || len(g.desk.sent) != 1 || g.desk.sent[0].To != "anna@example.com" || len(g.code()) != 6 {
		t.Fatalf("%+v, sent %+v", seen, g.desk.sent)
	}
	if strings.Contains(string(x.Private[x.PC]), g.code()) || strings.Contains(string(x.Private[x.PC]), long+`"`) && !strings.Contains(string(x.Private[x.PC]), "hash of") {
		t.Error("the run holds the code")
	}
	if len(g.shelf.taken) > 0 {
		t.Fatal("the account is there before the address is proved")
	}
	if seen := g.resume(x, "code", wrong(g.code())); seen.Page.Problem != flows.ReasonWrongCode {
		t.Fatalf("%+v", seen)
	}
	if seen := g.resume(x, "code", g.code()[:3]+" "+g.code()[3:]); seen.Kind != "continue" {
		t.Fatalf("%+v", seen)
	}
	if a := g.shelf.taken["anna@example.com"]; a.DisplayName != "Anna" || a.Hash != "hash of "+long || x.User != nil {
		t.Errorf("%+v", a)
	}
	if len(g.deeds) != 1 || g.deeds[0].Kind != flows.DeedRegistered {
		t.Errorf("the trail heard %+v", g.deeds)
	}
}

// M4, B27: whether an address has an account, only its owner learns.
func TestM04RegisterTellsNobodyWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	g.shelf.taken["anna@example.com"] = flows.Account{}
	x, y := g.run("1"), g.run("2")
	one, other := g.account(x, "anna@example.com"), g.account(y, "bert@example.com")
	one.Page.Widgets[1], other.Page.Widgets[1] = nil, nil // the address itself
	if len(one.Page.Widgets) != len(other.Page.Widgets) || one.Page.Problem != other.Page.Problem || g.shelf.hashed != 2 || len(g.desk.sent) != 2 {
		t.Errorf("%+v\n%+v", one, other)
	}
	m := g.desk.sent[0]
	if m.Kind != "register_exists" || m.Secret != nil || g.desk.sent[1].Kind != "register_code" {
		t.Errorf("%+v", g.desk.sent)
	}
	if seen := g.resume(x, "code", g.code()); seen.Page.Problem != flows.ReasonWrongCode {
		t.Errorf("%+v", seen)
	}
}

// B26: a code is good for five tries and five minutes, and until the next one.
func TestB26RegisterCodes(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	x := g.run("1")
	g.account(x, "anna@example.com")
	for range flows.LimitRegisterCode.Free {
		if seen := g.resume(x, "code", wrong(g.code())); seen.Page.Problem != flows.ReasonWrongCode {
			t.Fatalf("%+v", seen)
		}
	}
	if seen := g.resume(x, "code", g.code()); seen.Page.Problem != flows.ReasonTooManyTries || seen.Page.Wait < 1 {
		t.Errorf("a sixth try: %+v", seen)
	}
	g = start(t, "")
	x = g.run("1")
	g.account(x, "anna@example.com")
	first := g.code()
	g.resume(x, "again", "code")
	if first != g.code() {
		if seen := g.resume(x, "code", first); seen.Page.Problem != flows.ReasonWrongCode {
			t.Errorf("the code before: %+v", seen)
		}
	}
	g.reg.Forward(codeFor + time.Second)
	if seen := g.resume(x, "code", g.code()); seen.Page.Problem != flows.ReasonWrongCode {
		t.Errorf("an old code: %+v", seen)
	}
	for range 5 {
		g.resume(x, "again", "code")
	}
	if n := len(g.desk.sent); n > flows.LimitRegisterAddress.Free+1 {
		t.Errorf("%d messages were sent to one address", n)
	}
}

// I08: one network cannot have the world written to.
func TestI08RegisterCountsByNetwork(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	for i := range 30 {
		x := g.run(strings.Repeat("x", i+1))
		g.account(x, strings.Repeat("a", i+1)+"@example.com")
	}
	if n := len(g.desk.sent); n > flows.LimitRegisterNetwork.Free || n != g.shelf.hashed {
		t.Errorf("%d messages, %d hashes", n, g.shelf.hashed)
	}
}

// I25: without an entry of the trail there is no account.
func TestI25RegisterWithoutATrail(t *testing.T) {
	t.Parallel()
	g := start(t, "")
	g.down = errors.New("the disk is full")
	x := g.run("1")
	g.account(x, "anna@example.com")
	if o, err := g.r.Resume(t.Context(), x, flows.Input{Values: map[string][]string{"code": {g.code()}}}); err == nil || o != nil || len(g.shelf.taken) > 0 {
		t.Errorf("%v, %v", o, err)
	}
}

func TestRegisterJudges(t *testing.T) {
	t.Parallel()
	r := new(Register)
	for _, tc := range []struct{ email, name, password, want string }{
		{"anna@example.com", "Anna", long, ""},
		{"anna@example.com", "Anna", "kurz", "password_short"},
		{"anna@example.com", "Anna", "fourteen.chars", "password_short"},
		{"anna@example.com", "Anna", "passwordpassword", "password_easy"},
		{"anna@example.com", "Anna", "1234567890123456", "password_easy"},
		{"anna@example.com", "Anna", "aaaaaaaaaaaaaaaaaaaa", "password_easy"},
		{"anna@example.com", "Anna", "abcabcabcabcabcabc", "password_easy"},
		{"anna.lindgren@example.com", "Anna Lindgren", "LindgrenLindgren1", "password_easy"},
		{"anna@example.com", "Anna", "anna@example.com", "password_easy"},
		{"anna@example.com", "Anna", strings.Repeat("langes Wort ", 200), "field_long"},
		{"anna", "Anna", long, "field_email"},
		{"Anna <anna@example.com>", "Anna", long, "field_email"},
		{"anna@example.com", "", long, "field_required"},
		{"anna@example.com", "An\u202ena", long, "field_text"},
		{"anna@example.com", strings.Repeat("A", 101), long, "field_long"},
	} {
		if got := r.judge(tc.email, tc.name, tc.password); got != tc.want {
			t.Errorf("%q %q %q: %q, want %q", tc.email, tc.name, tc.password, got, tc.want)
		}
	}
	if got := (&Register{MinPassword: 8}).judge("anna@example.com", "Anna", "xK4!q9zu"); got != "" {
		t.Errorf("eight are enough here: %q", got)
	}
}

func TestRegisterIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"register":      "name of a provider",
		"register shop": "how does the code reach people",
		"register shop {\nmessenger mail\nmin_password 6\n}": "8 to 64",
		"register shop {\nmail x\n}":                         "no option 'mail'",
	} {
		if err := new(Register).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
	g := start(t, "")
	g.shelf.off = true
	if err := g.r.Bind(g.reg); err == nil || !strings.Contains(err.Error(), "takes no new accounts") {
		t.Errorf("%v", err)
	}
}
