package login

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// passwords is a provider that knows one password for everybody in it.
type passwords struct {
	flows.ProviderOptions
	people map[string]flows.User
	err    error
	asked  atomic.Int64
	inside func() // called while a password is checked
}

func (p *passwords) VerifyPassword(_ context.Context, name, password string) (flows.Proof, error) {
	p.asked.Add(1)
	if p.inside != nil {
		p.inside()
	}
	u, ok := p.people[name]
	switch {
	case p.err != nil:
		return flows.Proof{}, p.err
	case !ok || password != "right":
		return flows.Proof{}, flows.ErrCredentials
	}
	return flows.Proof{User: u, Issuer: "local", Evidence: []flows.Evidence{{Method: "password", At: flowstest.Start}}}, nil
}

// away is a provider somewhere else.
type away struct {
	flows.ProviderOptions
	issuer  string
	user    flows.User
	down    error
	refused error
	begun   []flows.Start
}

func (a *away) Begin(_ context.Context, s flows.Start) (flows.Outcome, []byte, error) {
	if a.down != nil {
		return nil, nil, a.down
	}
	a.begun = append(a.begun, s)
	return flows.Redirect("https://idp.example/authorize?state=" + s.Handle), []byte("private of " + s.Handle), nil
}

func (a *away) Handle(c flows.Callback) (string, error) { return c.Values["state"][0], nil }

func (a *away) Finish(_ context.Context, c flows.Callback, private []byte) (flows.Proof, error) {
	switch {
	case a.refused != nil:
		return flows.Proof{}, a.refused
	case string(private) != "private of "+c.Values["state"][0]:
		return flows.Proof{}, flows.Refuse(flows.ReasonInvalidAnswer, errors.New("state"))
	}
	return flows.Proof{User: a.user, Issuer: a.issuer, Evidence: []flows.Evidence{{Method: "oidc", At: flowstest.Start}}}, nil
}

func idp(subject string) *away {
	return &away{issuer: "https://idp.example", user: flows.User{Subject: subject, Name: subject}}
}

func people(names ...string) *passwords {
	p := &passwords{people: map[string]flows.User{}}
	for _, n := range names {
		p.people[n] = flows.User{Subject: n, Name: n}
	}
	return p
}

// run is one flow of one login step.
type run struct {
	t   *testing.T
	reg *flowstest.Registry
	p   *flows.Program
	x   *flows.Execution
}

func newRun(t *testing.T, reg *flowstest.Registry, l *Login) *run {
	t.Helper()
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := l.Bind(reg); err != nil {
		t.Fatal(err)
	}
	p, err := flows.Compile("staff", "d", []flows.Step{l})
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, reg: reg, p: p}
	r.again("192.0.2.1")
	return r
}

// again begins a new run from an address, as another browser would.
func (r *run) again(ip string) *run {
	r.x = &flows.Execution{Flow: "staff", Digest: "d", Env: flows.Env{
		Now:         r.reg.Now(),
		Request:     &flows.Request{IP: ip},
		CallbackURL: func(p string) string { return "https://app.example/.identity/callback/" + p },
		Handle:      func(p string, n int) (string, error) { return fmt.Sprintf("%s.%d", p, n), nil },
		Device:      func(string) string { return "" },
	}}
	return r
}

func (r *run) advance(in *flows.Input) (flowstest.Seen, *flows.Finished) {
	r.t.Helper()
	o, done, err := r.p.Advance(r.t.Context(), r.x, in)
	if err != nil {
		r.t.Fatal(err)
	}
	return flowstest.Look(o), done
}

func (r *run) submit(pairs ...string) (flowstest.Seen, *flows.Finished) {
	r.t.Helper()
	return r.advance(r.input(pairs...))
}

func (r *run) input(pairs ...string) *flows.Input {
	in := &flows.Input{Step: r.x.Wait.Step, Serial: r.x.Wait.Serial, Values: map[string][]string{}}
	for i := 0; i < len(pairs); i += 2 {
		in.Values[pairs[i]] = append(in.Values[pairs[i]], pairs[i+1])
	}
	return in
}

func (r *run) callback(provider string) *flows.Input {
	return &flows.Input{Step: r.x.Wait.Step, Serial: r.x.Wait.Serial, Callback: &flows.Callback{
		Provider: provider, Values: map[string][]string{"state": {fmt.Sprintf("%s.%d", provider, r.x.Wait.Serial)}},
	}}
}

// guess enters the flow anew and tries one password.
func (r *run) guess(ip, name, password string) (flowstest.Seen, *flows.Finished) {
	r.t.Helper()
	device := r.x.Env.Device
	r.again(ip)
	r.x.Env.Device = device
	r.advance(nil)
	return r.submit("username", name, "password", password)
}

func choices(p flows.Page) string {
	var out []string
	for _, w := range p.Widgets {
		if c, ok := w.(flows.Choice); ok {
			out = append(out, c.Value+"="+c.Label)
		}
	}
	return strings.Join(out, " ")
}

func field(p flows.Page, name string) (flows.Field, bool) {
	for _, w := range p.Widgets {
		if f, ok := w.(flows.Field); ok && f.Name == name {
			return f, true
		}
	}
	return flows.Field{}, false
}

func TestOneProviderIsAskedAtOnce(t *testing.T) {
	t.Parallel()
	corp := idp("42")
	r := newRun(t, flowstest.NewRegistry().Add("corp", "oidc", corp), &Login{})
	seen, _ := r.advance(nil)
	if seen.Kind != "redirect" {
		t.Fatalf("got %+v", seen)
	}
	start := corp.begun[0]
	if want := fmt.Sprintf("corp.%d", r.x.Wait.Serial); start.Handle != want {
		t.Errorf("the handle names %s, but the wait is %s", start.Handle, want)
	}
	if start.CallbackURL != "https://app.example/.identity/callback/corp" || start.MaxAge != -1 {
		t.Errorf("start %+v", start)
	}
	_, done := r.advance(r.callback("corp"))
	if done == nil || r.x.User.Key != "corp:42" || r.x.Evidence[0].Provider != "corp" || r.x.Evidence[0].User != "corp:42" {
		t.Errorf("done %v, user %+v, evidence %+v", done, r.x.User, r.x.Evidence)
	}
	if len(r.x.Private) != 0 {
		t.Errorf("private state is left: %v", r.x.Private)
	}
}

func TestB01Chooser(t *testing.T) {
	t.Parallel()
	hidden := people("x")
	hidden.Hidden = true
	titled := idp("1")
	titled.ProviderOptions.Title = "Contoso"
	reg := func() *flowstest.Registry {
		return flowstest.NewRegistry().Add("entra", "oidc", titled).Add("corp", "oidc", idp("2")).Add("glass", "local", hidden)
	}
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		r := newRun(t, reg(), &Login{})
		seen, _ := r.advance(nil)
		if seen.Page.Kind != "choose" || choices(seen.Page) != "entra=Contoso corp=corp" {
			t.Errorf("got %+v", seen.Page)
		}
		if seen, _ := r.submit("provider", "corp"); !strings.Contains(seen.URL, "state=corp.2") {
			t.Errorf("got %+v", seen)
		}
	})
	t.Run("an order of its own", func(t *testing.T) {
		t.Parallel()
		seen, _ := newRun(t, reg(), &Login{Providers: []string{"corp", "entra"}}).advance(nil)
		if choices(seen.Page) != "corp=corp entra=Contoso" {
			t.Errorf("got %+v", seen.Page)
		}
	})
	for _, tc := range []struct {
		name, wish string
		providers  []string
		kind, page string
	}{
		{"wish", "corp", nil, "redirect", ""},
		{"wish for a hidden one", "glass", nil, "ask", "password"},
		{"wish for another's", "glass", []string{"entra", "corp"}, "ask", "choose"},
		{"wish for nobody's", "nobody", nil, "ask", "choose"},
		{"hidden one by name", "", []string{"glass"}, "ask", "password"},
		{"hidden one beside", "", []string{"corp", "glass"}, "redirect", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, reg(), &Login{Providers: tc.providers})
			r.x.Provider = tc.wish
			seen, _ := r.advance(nil)
			if seen.Kind != tc.kind || seen.Page.Kind != tc.page {
				t.Errorf("got %s %s, want %s %s", seen.Kind, seen.Page.Kind, tc.kind, tc.page)
			}
		})
	}
	t.Run("another one", func(t *testing.T) {
		t.Parallel()
		r := newRun(t, reg(), &Login{Providers: []string{"entra", "corp", "glass"}})
		r.advance(nil)
		seen, _ := r.submit("provider", "glass")
		if seen.Page.Kind != "password" || choices(seen.Page) != "*=choose_another" {
			t.Fatalf("got %+v", seen.Page)
		}
		if seen, _ = r.submit("provider", "*"); seen.Page.Kind != "choose" {
			t.Errorf("got %+v", seen.Page)
		}
		if seen, _ = r.submit("provider", "nobody"); seen.Page.Kind != "choose" {
			t.Errorf("got %+v", seen.Page)
		}
		if seen, _ = r.submit("username", "x", "password", "right"); seen.Page.Kind != "choose" || hidden.asked.Load() != 0 {
			t.Errorf("a password without a provider: %+v", seen.Page)
		}
	})
}

func TestB01CallbackOfAnotherProvider(t *testing.T) {
	t.Parallel()
	a, b := idp("1"), idp("1")
	reg := flowstest.NewRegistry().Add("a", "oidc", a).Add("b", "oidc", b)
	for _, tc := range []struct {
		name string
		wait string // what was chosen; empty: the chooser waits
	}{{"a was asked", "a"}, {"nobody was asked", ""}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRun(t, reg, &Login{Source: "Caddyfile:7"})
			r.advance(nil)
			if tc.wait != "" {
				r.submit("provider", tc.wait)
			}
			seen, done := r.advance(r.callback("b"))
			if seen.Denial.Reason != flows.ReasonProviderMismatch || done != nil || r.x.User != nil || seen.Denial.Source != "Caddyfile:7" {
				t.Errorf("got %+v, user %v", seen, r.x.User)
			}
		})
	}
}

func TestB01EqualSubjectsAreTwoUsers(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry().Add("a", "oidc", idp("1")).Add("b", "oidc", idp("1"))
	keys := map[flows.UserKey]bool{}
	for _, p := range []string{"a", "b"} {
		r := newRun(t, reg, &Login{})
		r.x.Provider = p
		r.advance(nil)
		r.advance(r.callback(p))
		keys[r.x.User.Key] = true
	}
	if !keys["a:1"] || !keys["b:1"] {
		t.Errorf("got %v", keys)
	}
}

// One Execution, one person: `login b` over a session of a is not satisfied by
// "somebody is known", and another person from b ends the attempt.
func TestI02OtherProvidersEvidenceDoesNotSatisfy(t *testing.T) {
	t.Parallel()
	b := idp("2")
	reg := flowstest.NewRegistry().Add("a", "oidc", idp("1")).Add("b", "oidc", b)
	known := func(r *run, provider string, of flows.UserKey) {
		r.x.User = &flows.User{Key: "a:1", Name: "1"}
		r.x.Evidence = []flows.Evidence{{User: of, Provider: provider, Method: "oidc"}}
	}
	r := newRun(t, reg, &Login{Providers: []string{"b"}})
	known(r, "a", "a:1")
	if seen, _ := r.advance(nil); seen.Kind != "redirect" {
		t.Fatalf("evidence of a satisfied login b: %+v", seen)
	}
	seen, done := r.advance(r.callback("b"))
	if seen.Denial.Reason != flows.ReasonUserMismatch || done != nil || r.x.User.Key != "a:1" || len(r.x.Evidence) != 1 {
		t.Errorf("got %+v, user %+v", seen, r.x.User)
	}

	r = newRun(t, reg, &Login{Providers: []string{"b"}})
	known(r, "b", "b:9") // of somebody else
	if seen, _ := r.advance(nil); seen.Kind != "redirect" {
		t.Errorf("evidence of another person satisfied: %+v", seen)
	}
}

func TestI01OwnEvidenceSatisfies(t *testing.T) {
	t.Parallel()
	r := newRun(t, flowstest.NewRegistry().Add("a", "oidc", idp("1")).Add("b", "oidc", idp("1")), &Login{Providers: []string{"a"}})
	r.x.User = &flows.User{Key: "a:1", Name: "1"}
	r.x.Evidence = []flows.Evidence{{User: "a:1", Provider: "a", Method: "oidc"}}
	if _, done := r.advance(nil); done == nil {
		t.Error("evidence of its own provider does not satisfy login")
	}
}

func TestI05IssuerChanged(t *testing.T) {
	t.Parallel()
	corp := idp("42")
	reg := flowstest.NewRegistry().Add("corp", "oidc", corp)
	login := func() (flowstest.Seen, *flows.Finished) {
		r := newRun(t, reg, &Login{})
		r.advance(nil)
		return r.advance(r.callback("corp"))
	}
	if _, done := login(); done == nil {
		t.Fatal("the first issuer is refused")
	}
	reg.Forward(20 * 365 * 24 * time.Hour)
	writes := reg.VaultOf("issuers").Writes()
	if _, done := login(); done == nil || reg.VaultOf("issuers").Writes() != writes {
		t.Error("the same issuer is refused, or costs a write")
	}
	corp.issuer = "https://evil.example"
	for range 2 {
		if seen, done := login(); seen.Denial.Reason != flows.ReasonIssuerChanged || done != nil {
			t.Fatalf("got %+v", seen)
		}
	}
	corp.Was = []string{"https://other.example"}
	if seen, _ := login(); seen.Denial.Reason != flows.ReasonIssuerChanged {
		t.Errorf("got %+v", seen)
	}
	corp.Was = []string{"https://idp.example"}
	if seen, done := login(); done == nil {
		t.Errorf("`was` does not help: %+v", seen)
	}
	corp.Was = nil
	if _, done := login(); done == nil {
		t.Error("the new issuer was not bound")
	}
	corp.issuer = ""
	if seen, _ := login(); seen.Denial.Reason != flows.ReasonInvalidAnswer {
		t.Errorf("no issuer: %+v", seen)
	}
}

func TestI05StoreDownFailsClosed(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry().Add("corp", "oidc", idp("42"))
	r := newRun(t, reg, &Login{})
	r.advance(nil)
	reg.VaultOf("issuers").SetDown(true)
	o, done, err := r.p.Advance(t.Context(), r.x, r.callback("corp"))
	if o != nil || done != nil || flows.ReasonOf(err) != flows.ReasonStoreDown || !errors.Is(err, flows.ErrUnavailable) || r.x.User != nil {
		t.Errorf("got %v %v %v", o, done, err)
	}
}

func TestI05FirstUseIsAtomic(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry().Add("corp", "oidc", idp("1"))
	step := &Login{}
	if err := step.Bind(reg); err != nil {
		t.Fatal(err)
	}
	p, _ := reg.Provider("corp")
	var wg sync.WaitGroup
	var taken atomic.Int64
	for i := range 50 {
		wg.Go(func() {
			if step.bindIssuer(context.Background(), p, fmt.Sprint("issuer ", i)) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d issuers were bound to one name", taken.Load())
	}
}

func TestO9Scope(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, user, email string
		scope             []string
		ok                bool
	}{
		{"none", "x", "", nil, true},
		{"name inside", "a@contoso.com", "", []string{"@contoso.com"}, true},
		{"case", "a@CONTOSO.com", "", []string{"@Contoso.Com"}, true},
		{"without @ in the config", "a@contoso.com", "", []string{"contoso.com"}, true},
		{"second", "a@fabrikam.com", "", []string{"@contoso.com", "@fabrikam.com"}, true},
		{"plain name, address inside", "anna", "a@contoso.com", []string{"@contoso.com"}, true},
		{"plain name only", "anna", "", []string{"@contoso.com"}, false},
		{"name outside", "a@evil.com", "a@contoso.com", []string{"@contoso.com"}, false},
		{"address outside", "a@contoso.com", "a@evil.com", []string{"@contoso.com"}, false},
		{"two @", "a@evil.com@contoso.com", "", []string{"@contoso.com"}, false},
		{"two @, other order", "a@contoso.com@evil.com", "", []string{"@contoso.com"}, false},
		{"two @ together", "a@@contoso.com", "", []string{"@contoso.com"}, false},
		{"quoted @", `"a@evil.com"@contoso.com`, "", []string{"@contoso.com"}, false},
		{"subdomain", "a@x.contoso.com", "", []string{"@contoso.com"}, false},
		{"longer", "a@evilcontoso.com", "", []string{"@contoso.com"}, false},
		{"dot behind", "a@contoso.com.", "", []string{"@contoso.com"}, false},
		{"blank behind", "a@contoso.com ", "", []string{"@contoso.com"}, false},
		{"line break", "a@contoso.com\n", "", []string{"@contoso.com"}, false},
		{"no one", "@contoso.com", "", []string{"@contoso.com"}, false},
		{"Kelvin sign", "a@\u212Aontoso.com", "", []string{"@kontoso.com"}, false},
		{"two @ in the address", "a@contoso.com", "a@evil.com@contoso.com", []string{"@contoso.com"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			corp := idp("42")
			corp.user = flows.User{Subject: "42", Name: tc.user, Email: tc.email}
			corp.Scope = tc.scope
			reg := flowstest.NewRegistry().Add("corp", "oidc", corp)
			r := newRun(t, reg, &Login{})
			r.advance(nil)
			seen, done := r.advance(r.callback("corp"))
			if (done != nil) != tc.ok {
				t.Errorf("got %+v", seen)
			}
			if !tc.ok && (seen.Denial.Reason != flows.ReasonNotAllowed || r.x.User != nil || reg.VaultOf("issuers").Writes() != 0) {
				t.Errorf("got %+v, user %v", seen, r.x.User)
			}
		})
	}
}

func TestPasswordPage(t *testing.T) {
	t.Parallel()
	corp := people("anna")
	r := newRun(t, flowstest.NewRegistry().Add("corp", "local", corp), &Login{})
	seen, _ := r.advance(nil)
	if seen.Page.Kind != "password" || seen.Page.Submit != "sign_in" || choices(seen.Page) != "" {
		t.Fatalf("got %+v", seen.Page)
	}
	if f, _ := field(seen.Page, "username"); f.Autocomplete != "username" || !f.Autofocus {
		t.Errorf("got %+v", f)
	}
	seen, _ = r.submit("username", " anna", "password", "hunter2")
	if f, _ := field(seen.Page, "username"); seen.Page.Problem != flows.ReasonBadCredentials || f.Value != "anna" {
		t.Errorf("got %+v", seen.Page)
	}
	if strings.Contains(fmt.Sprintf("%+v %s", seen.Page, r.x.Private[0]), "hunter2") {
		t.Error("the password is shown or kept")
	}
	if _, done := r.submit("username", " anna", "password", "right"); done == nil || r.x.User.Key != "corp:anna" {
		t.Errorf("user %+v", r.x.User)
	}
}

func TestPasswordOddInput(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		pairs []string
		asked int64
	}{
		{"nothing", nil, 0},
		{"no password", []string{"username", "anna"}, 0},
		{"empty password", []string{"username", "anna", "password", ""}, 0},
		{"no name", []string{"password", "right"}, 0},
		{"two names", []string{"username", "anna", "username", "bert", "password", "right"}, 0},
		{"two passwords", []string{"username", "anna", "password", "right", "password", "x"}, 0},
		{"long name", []string{"username", strings.Repeat("a", 257), "password", "right"}, 0},
		{"long password", []string{"username", "anna", "password", strings.Repeat("a", 1025)}, 0},
		{"unknown", []string{"username", "nobody", "password", "right"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			corp := people("anna")
			r := newRun(t, flowstest.NewRegistry().Add("corp", "local", corp), &Login{})
			r.advance(nil)
			seen, done := r.submit(tc.pairs...)
			if done != nil || seen.Page.Problem != flows.ReasonBadCredentials || corp.asked.Load() != tc.asked {
				t.Errorf("got %+v, asked %d", seen, corp.asked.Load())
			}
			if f, _ := field(seen.Page, "username"); len(f.Value) > maxName {
				t.Error("the long name is sent back")
			}
		})
	}
}

func TestI08GuessesAreCountedBeforeTheCheck(t *testing.T) {
	t.Parallel()
	corp := people("anna")
	reg := flowstest.NewRegistry().Add("corp", "local", corp)
	runs := make([]*run, 200)
	all, hold := make(chan struct{}), make(chan struct{})
	var arrived atomic.Int64
	arrive := func() { // answered, or inside the check
		if arrived.Add(1) == int64(len(runs)) {
			close(all)
		}
	}
	corp.inside = func() { arrive(); <-hold }
	r := newRun(t, reg, &Login{})
	var wg sync.WaitGroup
	for i := range runs {
		c := *r
		c.again("192.0.2.1")
		c.advance(nil)
		runs[i] = &c
	}
	names := []string{"anna", "ANNA", "Anna ", " aNNa"}
	for i, c := range runs {
		in := c.input("username", names[i%len(names)], "password", fmt.Sprint("guess ", i))
		wg.Go(func() {
			o, _, err := c.p.Advance(context.Background(), c.x, in)
			if err != nil || flowstest.Look(o).Page.Problem == flows.ReasonTooManyTries {
				arrive()
			}
		})
	}
	<-all // while the first guesses are still being checked, all others were answered
	close(hold)
	wg.Wait()
	if n := corp.asked.Load(); n != int64(flows.LimitUserNetwork.Free) {
		t.Errorf("%d of 200 guesses were checked, want %d", n, flows.LimitUserNetwork.Free)
	}
}

func TestB27AttackerDoesNotLockTheUserOut(t *testing.T) {
	t.Parallel()
	corp := people("anna", "bert")
	reg := flowstest.NewRegistry().Add("corp", "local", corp)
	r := newRun(t, reg, &Login{})
	for range 100 {
		r.guess("192.0.2.66", "anna", "wrong")
	}
	seen, done := r.guess("192.0.2.67", "anna", "right") // a neighbour of the attacker's
	if done != nil || seen.Page.Problem != flows.ReasonTooManyTries || seen.Page.Wait != 1 {
		t.Errorf("network X is not blocked: %+v", seen.Page)
	}
	if f, _ := field(seen.Page, "username"); f.Value != "anna" {
		t.Errorf("the name is lost: %+v", seen.Page)
	}
	if seen, done = r.guess("198.51.100.1", "anna", "right"); done == nil {
		t.Errorf("the user in another network: %+v", seen.Page)
	}
	r.x.Env.Device = func(name string) string {
		if name == "anna" {
			return "device-1"
		}
		return ""
	}
	if seen, done = r.guess("192.0.2.66", "anna", "right"); done == nil {
		t.Errorf("the user on a known device: %+v", seen.Page)
	}
	// What was shown for one user is nothing for another.
	for range 100 {
		r.guess("192.0.2.66", "bert", "wrong")
	}
	if seen, done = r.guess("192.0.2.66", "bert", "right"); done != nil {
		t.Errorf("anna's device let bert in: %+v", seen.Page)
	}
	// A known device has a budget, too.
	asked := corp.asked.Load()
	for range 100 {
		r.guess("192.0.2.66", "anna", "wrong")
	}
	if n := corp.asked.Load() - asked; n != int64(flows.LimitUserNetwork.Free) {
		t.Errorf("%d guesses on a known device were checked", n)
	}
}

func TestB27NetworkBudgetSpansNames(t *testing.T) {
	t.Parallel()
	corp := people("anna")
	r := newRun(t, flowstest.NewRegistry().Add("corp", "local", corp), &Login{})
	for i := range 200 {
		r.guess(fmt.Sprintf("192.0.2.%d", i), fmt.Sprint("name", i), "wrong")
	}
	if n := corp.asked.Load(); n != int64(flows.LimitNetwork.Free) {
		t.Errorf("%d guesses from one network were checked, want %d", n, flows.LimitNetwork.Free)
	}
}

func TestB27UnknownNamesLookTheSame(t *testing.T) {
	t.Parallel()
	r := newRun(t, flowstest.NewRegistry().Add("corp", "local", people("anna")), &Login{})
	pages := map[string][]string{}
	for i := range 12 {
		for j, name := range []string{"anna", "nope"} {
			ip := fmt.Sprintf("192.0.%d.1", j)
			seen, _ := r.guess(ip, name, "wrong")
			pages[name] = append(pages[name], strings.ReplaceAll(fmt.Sprintf("%d %+v", i, seen.Page), name, "NAME"))
		}
		r.reg.Forward(700 * time.Millisecond)
	}
	if fmt.Sprint(pages["anna"]) != fmt.Sprint(pages["nope"]) {
		t.Errorf("known   %v\nunknown %v", pages["anna"], pages["nope"])
	}
}

func TestB27RightAnswersCostNothing(t *testing.T) {
	t.Parallel()
	r := newRun(t, flowstest.NewRegistry().Add("corp", "local", people("anna")), &Login{})
	for i := range 120 {
		if seen, done := r.guess("192.0.2.1", "anna", "right"); done == nil {
			t.Fatalf("login %d: %+v", i, seen.Page)
		}
	}
}

func TestProviderDown(t *testing.T) {
	t.Parallel()
	down := flows.Refuse(flows.ReasonProviderDown, flows.ErrUnavailable)
	a, b, c := idp("1"), people("anna"), idp("3")
	a.down, b.err, c.refused = down, down, down
	reg := flowstest.NewRegistry().Add("a", "oidc", a).Add("b", "local", b).Add("c", "oidc", c)
	t.Run("several", func(t *testing.T) {
		r := newRun(t, reg, &Login{})
		r.advance(nil)
		again := func(seen flowstest.Seen, what string) {
			t.Helper()
			if seen.Page.Kind != "choose" || seen.Page.Problem != flows.ReasonProviderDown {
				t.Errorf("%s: %+v", what, seen)
			}
		}
		seen, _ := r.submit("provider", "a")
		again(seen, "begin")
		r.submit("provider", "b")
		seen, _ = r.submit("username", "anna", "password", "right")
		again(seen, "password")
		r.submit("provider", "c")
		seen, _ = r.advance(r.callback("c"))
		again(seen, "finish")
	})
	t.Run("one", func(t *testing.T) {
		r := newRun(t, reg, &Login{Providers: []string{"a"}})
		if _, _, err := r.p.Advance(t.Context(), r.x, nil); flows.ReasonOf(err) != flows.ReasonProviderDown {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nothing is counted", func(t *testing.T) {
		r := newRun(t, reg, &Login{Providers: []string{"b"}})
		for range 50 {
			r.again("192.0.2.1")
			r.advance(nil)
			_, _, err := r.p.Advance(t.Context(), r.x, r.input("username", "anna", "password", "right"))
			if flows.ReasonOf(err) != flows.ReasonProviderDown {
				t.Fatalf("got %v", err)
			}
		}
	})
}

// Who hangs up before the answer comes must not get the guess for nothing.
func TestI08HangingUpIsCounted(t *testing.T) {
	t.Parallel()
	corp := people("anna")
	corp.err = flows.Refuse(flows.ReasonProviderDown, context.Canceled)
	r := newRun(t, flowstest.NewRegistry().Add("corp", "local", corp), &Login{})
	for range 20 {
		r.again("192.0.2.1")
		r.advance(nil)
		ctx, cancel := context.WithCancel(t.Context())
		corp.inside = cancel
		_, _, _ = r.p.Advance(ctx, r.x, r.input("username", "anna", "password", "guess"))
		cancel()
	}
	if n := corp.asked.Load(); n != int64(flows.LimitUserNetwork.Free) {
		t.Errorf("%d guesses were checked, want %d", n, flows.LimitUserNetwork.Free)
	}
}

func TestRefusalEndsTheAttempt(t *testing.T) {
	t.Parallel()
	corp := idp("1")
	corp.refused = flows.Refuse(flows.ReasonProviderRefused, errors.New("access_denied"))
	r := newRun(t, flowstest.NewRegistry().Add("corp", "oidc", corp), &Login{})
	r.advance(nil)
	seen, done := r.advance(r.callback("corp"))
	if seen.Denial.Reason != flows.ReasonProviderRefused || done != nil || !errors.Is(seen.Denial.Err, corp.refused) {
		t.Errorf("got %+v", seen)
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	entra, corp := idp("1"), people("bert@fabrikam.com")
	corp.Hidden = true
	reg := flowstest.NewRegistry().Add("entra", "oidc", entra).Add("corp", "local", corp)
	l := func() *Login {
		return &Login{Discover: []Discover{{"entra", []string{"@Contoso.com", "contoso.org"}}, {"corp", []string{"@fabrikam.com"}}}}
	}
	r := newRun(t, reg, l())
	seen, _ := r.advance(nil)
	if _, ok := field(seen.Page, "email"); !ok || seen.Page.Kind != "choose" || choices(seen.Page) != "entra=entra" || seen.Page.Submit == "" {
		t.Fatalf("got %+v", seen.Page)
	}
	for _, typed := range []string{"nobody@example.com", "a@x@contoso.com", "contoso.com", "@contoso.com", ""} {
		if seen, _ = r.submit("email", typed); seen.Page.Kind != "choose" || (seen.Page.Problem == "") != (typed == "") {
			t.Errorf("%q: %+v", typed, seen)
		}
	}
	if seen, _ = r.submit("email", " bert@FABRIKAM.com "); seen.Page.Kind != "password" {
		t.Fatalf("got %+v", seen)
	}
	if f, _ := field(seen.Page, "username"); f.Value != "bert@FABRIKAM.com" || f.Autofocus {
		t.Errorf("got %+v", f)
	}
	r = newRun(t, reg, l())
	r.advance(nil)
	if seen, _ = r.submit("email", "anna@contoso.org"); seen.Kind != "redirect" || entra.begun[0].LoginHint != "anna@contoso.org" {
		t.Errorf("got %+v", seen)
	}
}

func TestBackWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	r := newRun(t, flowstest.NewRegistry().Add("a", "oidc", idp("1")).Add("b", "oidc", idp("2")), &Login{})
	r.advance(nil)
	r.submit("provider", "a")
	if seen, _ := r.submit(); seen.Page.Kind != "choose" {
		t.Errorf("got %+v", seen)
	}
	if seen, _ := r.advance(r.callback("a")); seen.Denial.Reason != flows.ReasonProviderMismatch {
		t.Errorf("a callback nobody waits for: %+v", seen)
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	hidden := idp("1")
	hidden.Hidden = true
	full := flowstest.NewRegistry().Add("entra", "oidc", idp("1")).Add("corp", "oidc", idp("2")).Add("wam", "header", &flows.ProviderOptions{})
	for _, tc := range []struct {
		name string
		reg  *flowstest.Registry
		l    Login
		want string
	}{
		{"typo", full, Login{Providers: []string{"entar"}, Source: "Caddyfile:3"}, "Caddyfile:3: no provider is called 'entar'; there are: entra, corp"},
		{"not for login", full, Login{Providers: []string{"wam"}}, "provider wam (header) cannot be used by login"},
		{"discover", full, Login{Providers: []string{"entra"}, Discover: []Discover{{"corp", []string{"@x.y"}}}}, "no provider of this login is called 'corp'; there are: entra"},
		{"nobody", flowstest.NewRegistry(), Login{}, "no provider to ask"},
		{"all hidden", flowstest.NewRegistry().Add("a", "oidc", hidden), Login{}, "no provider to ask"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := tc.l.Bind(tc.reg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	l := &Login{}
	if err := l.Bind(full); err != nil || strings.Join(l.Reaches(), " ") != "provider:entra provider:corp" || l.Produces()[0] != "user" {
		t.Errorf("got %v %v", l.Reaches(), err)
	}
}

func TestValidateErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		l    Login
		want string
	}{
		{"fallback", Login{Fallback: "X"}, "fallback 'X' is no name"},
		{"twice", Login{Providers: []string{"a", "a"}}, "provider 'a' twice"},
		{"no domain", Login{Discover: []Discover{{"a", nil}}}, "names no domain"},
		{"bad domain", Login{Discover: []Discover{{"a", []string{"a@b.c"}}}}, "is no domain"},
		{"domain twice", Login{Discover: []Discover{{"a", []string{"@x.y"}}, {"b", []string{"X.Y"}}}}, "@x.y twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := tc.l.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"bare", "login", ""},
		{"all", "login entra corp {\ndiscover entra @contoso.com @contoso.org\ndiscover corp @fabrikam.com\n}", ""},
		{"empty block", "login entra {\n}", ""},
		{"discover without a list", "login {\ndiscover entra @contoso.com\n}", ""},
		{"bad name", "login Entra", "'Entra' is no name of a provider"},
		{"twice", "login a a", "provider 'a' is there twice"},
		{"unknown", "login a {\nprefer a\n}", "login has no option 'prefer'; there are: discover, fallback, vouched"},
		{"fallback", "login a {\nfallback b\n}", ""},
		{"fallback twice", "login a {\nfallback b\nfallback c\n}", "fallback is there twice"},
		{"fallback nobody", "login a {\nfallback\n}", "fallback takes one provider"},
		{"fallback two", "login a {\nfallback b c\n}", "fallback takes one provider"},
		{"fallback itself", "login a {\nfallback a\n}", "one of the providers of this login: a"},
		{"discover arity", "login a {\ndiscover a\n}", "takes a provider and one or more @domains"},
		{"discover stranger", "login a {\ndiscover b @x.y\n}", "no provider of this login is called 'b'; there are: a"},
		{"discover twice", "login a {\ndiscover a @x.y\ndiscover a @z.y\n}", "discover a is there twice"},
		{"no @", "login a {\ndiscover a x.y\n}", "'x.y' is no domain"},
		{"an address", "login a {\ndiscover a b@x.y\n}", "'b@x.y' is no domain"},
		{"domain twice", "login a b {\ndiscover a @x.y\ndiscover b @X.y\n}", "@x.y twice"},
		{"domain twice in a line", "login a {\ndiscover a @x.y @X.y\n}", "@x.y twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := new(Login)
			err := l.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
			if tc.want == "" {
				if err != nil || l.Validate() != nil || !strings.HasSuffix(l.SourceLine(), ":1") {
					t.Errorf("got %v, source %q", err, l.SourceLine())
				}
			} else if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzDomainOf(f *testing.F) {
	for _, s := range []string{"a@b.c", "a@@b", "@", "", "a@b@c", "a@\u212A.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := flows.DomainOf(s)
		if ok && (strings.Count(s, "@") != 1 || d == "" || !strings.EqualFold(s[strings.Index(s, "@")+1:], d)) {
			t.Errorf("%q → %q", s, d)
		}
	})
}
