package login

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// checked is a provider that the hall can check.
type checked struct{ away }

func (*checked) Check(context.Context) error { return nil }

func watchedIDP(subject string) *checked { return &checked{*idp(subject)} }

// outage runs a login of entra with a fallback, while those that down names are down.
type outage struct {
	*run
	entra *checked
	glass *passwords
	down  []string
}

func newOutage(t *testing.T, l *Login) *outage {
	t.Helper()
	o := &outage{entra: watchedIDP("anna"), glass: people("anna")}
	o.glass.Hidden = true
	reg := flowstest.NewRegistry().Add("entra", "oidc", o.entra).Add("corp", "oidc", idp("anna")).
		Add("glass", "local", o.glass).Add("other", "oidc", idp("anna"))
	o.run = newRun(t, reg, l)
	return o.anew()
}

func (o *outage) anew() *outage {
	o.again("192.0.2.1")
	o.x.Env.Down = func(p *flows.Provider) bool { return slices.Contains(o.down, p.Name) }
	return o
}

func notes(p flows.Page) string {
	var out []string
	for _, w := range p.Widgets {
		if n, ok := w.(flows.Note); ok {
			out = append(out, n.Code+n.Text)
		}
	}
	return strings.Join(out, " ")
}

func TestI23TheOnlyProviderIsDown(t *testing.T) {
	t.Parallel()
	o := newOutage(t, &Login{Providers: []string{"entra"}, Fallback: "glass"})
	if seen, _ := o.advance(nil); seen.Kind != "redirect" {
		t.Fatalf("nobody is down: %+v", seen)
	}
	o.down = []string{"entra"}
	seen, _ := o.anew().advance(nil)
	if seen.Page.Kind != "password" || notes(seen.Page) != "glass fallback" || choices(seen.Page) != "*=choose_another" {
		t.Fatalf("got %+v", seen.Page)
	}
	if seen, _ := o.submit("username", "anna", "password", "wrong"); notes(seen.Page) != "glass fallback" || seen.Page.Problem != flows.ReasonBadCredentials {
		t.Fatalf("got %+v", seen.Page)
	}
	_, done := o.submit("username", "anna", "password", "right")
	if done == nil || o.x.User.Key != "glass:anna" || len(o.x.Evidence) != 1 {
		t.Fatalf("user %+v, evidence %+v", o.x.User, o.x.Evidence)
	}
	if e := o.x.Evidence[0]; e.Kind != flows.Fallback || !slices.Equal(e.For, []string{"entra"}) || !flows.FellBack(o.x.Evidence) {
		t.Errorf("evidence %+v", e)
	}
}

func TestI23AmongSeveralTheChooserOffersIt(t *testing.T) {
	t.Parallel()
	l := &Login{Providers: []string{"entra", "corp"}, Fallback: "glass", Discover: []Discover{{"entra", []string{"@contoso.com"}}}}
	o := newOutage(t, l)
	seen, _ := o.advance(nil)
	if choices(seen.Page) != "entra=entra corp=corp" || notes(seen.Page) != "" {
		t.Fatalf("nobody is down: %+v", seen.Page)
	}
	o.down = []string{"entra"}
	if seen, _ = o.anew().advance(nil); choices(seen.Page) != "entra=entra corp=corp glass=glass" || notes(seen.Page) != "fallback" {
		t.Fatalf("got %+v", seen.Page)
	}
	// Nobody is sent to one that is down unasked: not by a domain, nor by a wish.
	if seen, _ = o.submit("email", "anna@contoso.com"); seen.Page.Kind != "choose" || notes(seen.Page) != "fallback" {
		t.Errorf("by domain: %+v", seen)
	}
	o.anew().x.Provider = "entra"
	if seen, _ = o.advance(nil); seen.Page.Kind != "choose" {
		t.Errorf("by a wish: %+v", seen)
	}
	if seen, _ = o.submit("provider", "entra"); seen.Kind != "redirect" {
		t.Errorf("who insists: %+v", seen)
	}
	o.anew().advance(nil)
	if seen, _ = o.submit("provider", "corp"); seen.Kind != "redirect" || !strings.Contains(seen.URL, "corp") {
		t.Errorf("the others go on: %+v", seen)
	}
	if _, done := o.advance(o.callback("corp")); done == nil || flows.FellBack(o.x.Evidence) {
		t.Errorf("a login of another one is no fallback: %+v", o.x.Evidence)
	}
}

// TestI23NothingTheBrowserBringsStartsAFallback: no wish, no name in a form, no
// callback, no failing login.
func TestI23NothingTheBrowserBringsStartsAFallback(t *testing.T) {
	t.Parallel()
	for _, providers := range [][]string{{"entra"}, {"entra", "corp"}, nil} {
		o := newOutage(t, &Login{Providers: providers, Fallback: "glass"})
		never := func(what string, seen flowstest.Seen) {
			t.Helper()
			if strings.Contains(choices(seen.Page), "glass") || seen.Page.Kind == "password" || strings.Contains(notes(seen.Page), "fallback") {
				t.Errorf("%v, %s: %+v", providers, what, seen)
			}
		}
		o.x.Provider = "glass"
		seen, _ := o.advance(nil)
		never("a wish", seen)
		seen, _ = o.submit("provider", "glass")
		never("a form", seen)
		seen, done := o.submit("provider", "glass", "username", "anna", "password", "right")
		never("a form with a password", seen)
		o.entra.down = flows.Refuse(flows.ReasonProviderDown, errors.New("connection refused"))
		o.anew()
		if seen, _, err := o.try(nil); err == nil {
			never("a login that cannot begin", seen)
			if seen, _, err = o.try(o.input("provider", "entra")); err == nil {
				never("a login that cannot begin", seen)
			}
		}
		if done != nil || o.glass.asked.Load() != 0 {
			t.Errorf("%v: the fallback was asked", providers)
		}
		o.entra.down, o.entra.refused = nil, flows.Refuse(flows.ReasonProviderRefused, errors.New("server_error"))
		o.anew().x.Provider = "entra"
		o.advance(nil)
		seen, _ = o.advance(o.callback("entra"))
		never("an error answer", seen)
	}
}

func (r *run) try(in *flows.Input) (flowstest.Seen, *flows.Finished, error) {
	o, done, err := r.p.Advance(r.t.Context(), r.x, in)
	if err != nil {
		return flowstest.Seen{}, nil, err
	}
	return flowstest.Look(o), done, nil
}

// TestI23ARunOfTheOutageEndsWithIt: a cookie from then is worth nothing afterwards (I08).
func TestI23ARunOfTheOutageEndsWithIt(t *testing.T) {
	t.Parallel()
	o := newOutage(t, &Login{Providers: []string{"entra"}, Fallback: "glass"})
	o.down = []string{"entra"}
	o.advance(nil)
	o.down = nil
	seen, done := o.submit("username", "anna", "password", "right")
	if done != nil || seen.Kind != "redirect" || o.glass.asked.Load() != 0 {
		t.Errorf("a password page of the outage: %+v", seen)
	}

	o = newOutage(t, &Login{Providers: []string{"entra"}, Fallback: "other"})
	o.down = []string{"entra"}
	if seen, _ = o.advance(nil); choices(seen.Page) != "entra=entra other=other" || notes(seen.Page) != "fallback" {
		t.Fatalf("before somebody is sent away the chooser says why: %+v", seen.Page)
	}
	o.submit("provider", "other")
	o.down = nil
	if seen, done = o.advance(o.callback("other")); done != nil || seen.Kind != "redirect" || !strings.Contains(seen.URL, "state=entra") || o.x.User != nil {
		t.Errorf("an answer to the outage: %+v %v", seen, o.x.User)
	}
	// It ends while the password is being checked.
	o = newOutage(t, &Login{Providers: []string{"entra"}, Fallback: "glass"})
	o.down = []string{"entra"}
	o.advance(nil)
	o.glass.inside = func() { o.down = nil }
	if seen, done = o.submit("username", "anna", "password", "right"); done != nil || seen.Kind != "redirect" || o.x.User != nil {
		t.Errorf("got %+v %v", seen, o.x.User)
	}
}

// TestI23ASessionKeepsItsFallback: afterwards it satisfies the logins it stood in
// for, and no other.
func TestI23ASessionKeepsItsFallback(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		login    Login
		evidence flows.Evidence
		want     bool
	}{
		"the same login":              {Login{Providers: []string{"entra"}, Fallback: "glass"}, flows.Evidence{Provider: "glass", Kind: flows.Fallback, For: []string{"entra"}}, true},
		"for another provider":        {Login{Providers: []string{"entra"}, Fallback: "glass"}, flows.Evidence{Provider: "glass", Kind: flows.Fallback, For: []string{"corp"}}, false},
		"a direct login":              {Login{Providers: []string{"entra"}, Fallback: "glass"}, flows.Evidence{Provider: "glass"}, false},
		"a login without a fallback":  {Login{Providers: []string{"entra"}}, flows.Evidence{Provider: "glass", Kind: flows.Fallback, For: []string{"entra"}}, false},
		"another fallback":            {Login{Providers: []string{"entra"}, Fallback: "other"}, flows.Evidence{Provider: "glass", Kind: flows.Fallback, For: []string{"entra"}}, false},
		"a login of the fallback too": {Login{Providers: []string{"glass"}}, flows.Evidence{Provider: "glass", Kind: flows.Fallback, For: []string{"entra"}}, true},
	} {
		o := newOutage(t, &tc.login)
		o.x.User, o.x.Inherited = &flows.User{Key: "glass:anna", Name: "anna"}, true
		tc.evidence.User = "glass:anna"
		o.x.Evidence = []flows.Evidence{tc.evidence}
		if _, done, err := o.try(nil); err != nil || (done != nil) != tc.want {
			t.Errorf("%s: satisfied %v, %v", name, done != nil, err)
		}
	}
}

func TestI23ADrillIsForItsUser(t *testing.T) {
	t.Parallel()
	o := newOutage(t, &Login{Providers: []string{"entra"}, Fallback: "glass"})
	o.glass.people["bob"] = flows.User{Subject: "bob", Name: "bob"}
	o.down = []string{"entra"}
	o.x.Drill = &flows.Drill{ID: "D", Provider: "entra", User: "anna"}
	o.advance(nil)
	if seen, done := o.submit("username", "bob", "password", "right"); done != nil || seen.Denial.Reason != flows.ReasonUserMismatch {
		t.Errorf("somebody else's drill: %+v", seen)
	}
	o.anew().x.Drill = &flows.Drill{ID: "D", Provider: "entra", User: "anna"}
	o.advance(nil)
	if _, done := o.submit("username", "anna", "password", "right"); done == nil {
		t.Error("the test user was refused")
	}
}

func TestFallbackErrors(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry().Add("entra", "oidc", watchedIDP("1")).Add("corp", "oidc", idp("1")).Add("glass", "local", people("x"))
	for name, tc := range map[string]struct {
		login Login
		want  string
	}{
		"unknown":        {Login{Providers: []string{"entra"}, Fallback: "glas"}, "no provider is called 'glas'"},
		"one of its own": {Login{Providers: []string{"entra"}, Fallback: "entra"}, "one of the providers of this login"},
		"no name":        {Login{Providers: []string{"entra"}, Fallback: "A B"}, "is no name of a provider"},
		"never":          {Login{Providers: []string{"corp"}, Fallback: "glass"}, "would never start: no outage of corp is noticed"},
	} {
		err := tc.login.Validate()
		if err == nil {
			err = tc.login.Bind(reg)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	l := Login{Fallback: "glass"}
	if err := l.Bind(reg); err != nil || l.names() != "entra, corp" || !slices.Contains(l.Reaches(), "provider:glass") || len(l.Watches()) != 1 {
		t.Errorf("all but the fallback: %v, %s, %v", err, l.names(), l.Reaches())
	}
}
