package login

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// desk is a provider that browsers answer with the name of their user.
type desk struct {
	flows.ProviderOptions
	near string
	at   time.Time
	err  error
}

func (d *desk) Unasked(r *flows.Request) bool { return strings.HasPrefix(r.IP, d.near) }

func (d *desk) Negotiate(_ context.Context, _ *flows.Request, token []byte) (flows.Proof, error) {
	if d.err != nil {
		return flows.Proof{}, d.err
	}
	name := string(token)
	return flows.Proof{User: flows.User{Subject: name, Name: name}, Issuer: "desk", Evidence: []flows.Evidence{{Method: "kerberos", At: d.at}}}, nil
}

func ticketRefused() error {
	return flows.Refuse(flows.ReasonTicketRefused, errors.New("a clock is late"))
}

// shows answers the page that negotiates.
func (r *run) shows(token string) (flowstest.Seen, *flows.Finished) {
	r.t.Helper()
	in := r.input()
	in.Token = []byte(token)
	return r.advance(in)
}

func negotiating(t *testing.T, d *desk, l *Login, more ...func(*flowstest.Registry)) *run {
	t.Helper()
	reg := flowstest.NewRegistry().Add("desk", "kerberos", d).Add("corp", "ldap", people("anna"))
	for _, add := range more {
		add(reg)
	}
	if d.at.IsZero() {
		d.at = reg.Now()
	}
	return newRun(t, reg, l)
}

// TestTheBrowserIsAskedFirst: whoever has a ticket sees no page.
func TestTheBrowserIsAskedFirst(t *testing.T) {
	t.Parallel()
	r := negotiating(t, &desk{}, &Login{Providers: []string{"corp", "desk"}})
	seen, _ := r.advance(nil)
	if seen.Kind != "ask" || seen.Page.Kind != "negotiate" || !seen.Page.Negotiate || !seen.Page.Auto {
		t.Fatalf("got %+v", seen)
	}
	shown, err := r.p.Show(t.Context(), r.x)
	if err != nil || shown.Kind != "negotiate" || !shown.Negotiate {
		t.Errorf("shown again: %+v, %v", shown, err)
	}
	_, done := r.shows("anna")
	if done == nil || r.x.User.Key != "desk:anna" || r.x.Evidence[0].Provider != "desk" || r.x.Env.Asked != "desk" {
		t.Errorf("done %v, %+v", done, r.x.User)
	}
}

// TestWithoutATicketTheOthersFollow: to the only other one, or to the choice; what was
// refused is said there, and what was not sent is not.
func TestWithoutATicketTheOthersFollow(t *testing.T) {
	t.Parallel()
	oidc := func(reg *flowstest.Registry) { reg.Add("entra", "oidc", idp("42")) }
	for name, tc := range map[string]struct {
		l             *Login
		more          func(*flowstest.Registry)
		silent, wrong string
	}{
		"a password":          {&Login{Providers: []string{"corp", "desk"}}, func(*flowstest.Registry) {}, "password", "password"},
		"somewhere else":      {&Login{Providers: []string{"entra", "desk"}}, oidc, "redirect", "choose"},
		"several":             {&Login{Providers: []string{"entra", "desk", "corp"}}, oidc, "choose", "choose"},
		"a domain to be told": {&Login{Providers: []string{"entra", "desk"}, Discover: []Discover{{"entra", []string{"@contoso.com"}}}}, oidc, "choose", "choose"},
		"nobody":              {&Login{Providers: []string{"desk"}}, oidc, "negotiate", string(flows.ReasonTicketRefused)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := func(s flowstest.Seen) string {
				switch s.Kind {
				case "ask":
					return s.Page.Kind
				case "deny":
					return string(s.Denial.Reason)
				}
				return s.Kind
			}
			r := negotiating(t, &desk{}, tc.l, tc.more)
			r.advance(nil)
			if seen, _ := r.submit(); kind(seen) != tc.silent || seen.Page.Problem != "" {
				t.Errorf("no answer: %+v", seen)
			}
			r = negotiating(t, &desk{err: ticketRefused()}, tc.l, tc.more)
			r.advance(nil)
			seen, done := r.shows("anna")
			if kind(seen) != tc.wrong || done != nil || seen.Kind == "ask" && seen.Page.Problem != flows.ReasonTicketRefused {
				t.Errorf("refused: %+v", seen)
			}
			if r.x.Env.Cause == nil || !strings.Contains(r.x.Env.Cause.Detail, "a clock is late") {
				t.Errorf("the log hears %+v", r.x.Env.Cause)
			}
		})
	}
}

// TestTheBrowserIsNotAskedUnasked: another was wished for, it is elsewhere, the provider is
// hidden, or the person is to show that they are there.
func TestTheBrowserIsNotAskedUnasked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(d *desk, x *flows.Execution){
		"another was wished for": func(_ *desk, x *flows.Execution) { x.Provider = "corp" },
		"elsewhere":              func(d *desk, _ *flows.Execution) { d.near = "10." },
		"hidden":                 func(d *desk, _ *flows.Execution) { d.Hidden = true },
		"asked anew":             func(_ *desk, x *flows.Execution) { x.Fresh = true },
		"since":                  func(_ *desk, x *flows.Execution) { x.Since = flowstest.Start },
	} {
		d := &desk{}
		r := negotiating(t, d, &Login{})
		change(d, r.x)
		if name == "hidden" {
			r = negotiating(t, d, &Login{})
		}
		if seen, _ := r.advance(nil); seen.Kind != "ask" || seen.Page.Negotiate {
			t.Errorf("%s: %+v", name, seen)
		}
	}
	d := &desk{near: "10."}
	r := negotiating(t, d, &Login{})
	r.x.Provider = "desk"
	if seen, _ := r.advance(nil); !seen.Page.Negotiate {
		t.Errorf("it was wished for: %+v", seen)
	}
	r = negotiating(t, d, &Login{Providers: []string{"desk"}})
	if seen, _ := r.advance(nil); !seen.Page.Negotiate {
		t.Errorf("there is no other: %+v", seen)
	}
	r = negotiating(t, &desk{}, &Login{Providers: []string{"desk"}})
	r.x.Fresh = true
	if seen, _ := r.advance(nil); seen.Page.Kind != "choose" {
		t.Errorf("asked anew, and there is no other: %+v", seen)
	}
}

// TestB25ATicketOfBeforeProvesNothingNew: it was given when the person signed in to the
// computer, which may be hours ago.
func TestB25ATicketOfBeforeProvesNothingNew(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(x *flows.Execution){
		"a step-up":               func(x *flows.Execution) { x.Since = x.Env.Now },
		"a login in front of one": func(x *flows.Execution) { x.Started, x.Fresh, x.StepUp = x.Env.Now, true, &flows.StepUp{} },
		"a change of the account": func(x *flows.Execution) { x.Started, x.Fresh, x.Action = x.Env.Now, true, &flows.Action{} },
	} {
		d := &desk{}
		r := negotiating(t, d, &Login{})
		change(r.x)
		r.advance(nil)
		r.submit("provider", "desk")
		if seen, done := r.shows("anna"); done != nil || seen.Page.Problem != flows.ReasonTicketRefused {
			t.Fatalf("%s, an old ticket: %+v", what, seen)
		}
		d.at = r.reg.Now().Add(time.Second)
		r.submit("provider", "desk")
		if _, done := r.shows("anna"); done == nil {
			t.Errorf("%s, a ticket of after that", what)
		}
	}
}

// TestATokenElsewhereIsNoAnswer: on another page, or when another provider is asked, it
// runs nothing (I28).
func TestI28ATokenElsewhereIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := negotiating(t, &desk{}, &Login{Providers: []string{"corp", "desk"}})
	r.advance(nil)
	r.submit()
	in := r.input()
	in.Token = []byte("anna")
	if _, _, err := r.p.Advance(t.Context(), r.x, in); !errors.Is(err, flows.ErrWrongInput) || r.x.User != nil {
		t.Errorf("on the page of corp: %v, %+v", err, r.x.User)
	}
}

// TestARefusalOfTheDirectoryEnds: the ticket says who they are, and the directory that
// they may not; one that cannot be asked leaves the others.
func TestARefusalOfTheDirectoryEnds(t *testing.T) {
	t.Parallel()
	d := &desk{err: flows.Refuse(flows.ReasonAccountDisabled, nil)}
	r := negotiating(t, d, &Login{})
	r.advance(nil)
	if seen, _ := r.shows("anna"); seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonAccountDisabled {
		t.Errorf("got %+v", seen)
	}
	d.err = flows.Refuse(flows.ReasonProviderDown, nil)
	r = negotiating(t, d, &Login{})
	r.advance(nil)
	if seen, _ := r.shows("anna"); seen.Kind != "ask" || seen.Page.Problem != flows.ReasonProviderDown {
		t.Errorf("got %+v", seen)
	}
}
