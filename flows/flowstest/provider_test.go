package flowstest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// verifier is a sound PasswordVerifier; a broken one changes what it answers.
type verifier struct {
	work   atomic.Int64
	down   atomic.Bool
	shared *flows.User
	broken func(v *verifier, name, password string, p flows.Proof, err error) (flows.Proof, error)
}

func (v *verifier) VerifyPassword(_ context.Context, name, password string) (flows.Proof, error) {
	p, err := v.sound(name, password)
	if v.broken != nil {
		return v.broken(v, name, password, p, err)
	}
	return p, err
}

func (v *verifier) sound(name, password string) (flows.Proof, error) {
	if v.down.Load() {
		return flows.Proof{}, flows.Refuse(flows.ReasonProviderDown, flows.ErrUnavailable)
	}
	v.work.Add(1)
	if name != "anna" || password != "right" {
		return flows.Proof{}, flows.ErrCredentials
	}
	return flows.Proof{
		User:     flows.User{Subject: "1", Name: name, Groups: []string{"staff"}, Attributes: map[string]any{"badge": "7"}},
		Evidence: []flows.Evidence{{Method: "password", At: Start}},
		Issuer:   "local",
	}, nil
}

func (v *verifier) problems(ctx context.Context) []error {
	return Password{
		Guest: v, Name: "anna", Password: "right", Now: NewClock().Now,
		Work:  func() int { return int(v.work.Load()) },
		Break: func() { v.down.Store(true) },
	}.Problems(ctx)
}

func TestPasswordSuiteCatchesBrokenGuests(t *testing.T) {
	t.Parallel()
	if errs := new(verifier).problems(t.Context()); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	type proof = flows.Proof
	on := func(change func(*proof)) func(*verifier, string, string, proof, error) (proof, error) {
		return func(_ *verifier, _, _ string, p proof, err error) (proof, error) {
			if err == nil {
				change(&p)
			}
			return p, err
		}
	}
	for _, tc := range []struct {
		name   string
		broken func(*verifier, string, string, proof, error) (proof, error)
		want   string
	}{
		{"refuses all", func(*verifier, string, string, proof, error) (proof, error) { return proof{}, flows.ErrCredentials }, "right password is refused"},
		{"takes all", func(v *verifier, _, _ string, _ proof, _ error) (proof, error) { return v.sound("anna", "right") }, "wrong password: got <nil>"},
		{"takes an empty password", func(v *verifier, name, password string, p proof, err error) (proof, error) {
			if password == "" { // an LDAP bind without a password succeeds: RFC 4513 §5.1.2
				return v.sound("anna", "right")
			}
			return p, err
		}, "empty password"},
		{"takes a prefix", func(v *verifier, name, password string, p proof, err error) (proof, error) {
			if name == "anna" && password != "" && strings.HasPrefix("right", password) {
				return v.sound("anna", "right")
			}
			return p, err
		}, "prefix of the password"},
		{"tells unknown names", func(_ *verifier, name, _ string, p proof, err error) (proof, error) {
			if name != "anna" && errors.Is(err, flows.ErrCredentials) {
				err = fmt.Errorf("no such user: %w", err)
			}
			return p, err
		}, "unknown name: says"},
		{"works less for unknown names", func(v *verifier, name, _ string, p proof, err error) (proof, error) {
			if name != "anna" {
				v.work.Add(-1)
			}
			return p, err
		}, "unknown name: costs 0"},
		{"another error for unknown names", func(_ *verifier, name, _ string, p proof, err error) (proof, error) {
			if name != "anna" && err != nil {
				err = flows.ErrNotFound
			}
			return p, err
		}, "want ErrCredentials"},
		{"no is could not ask", func(_ *verifier, _, _ string, p proof, err error) (proof, error) {
			if err != nil {
				err = flows.ErrCredentials
			}
			return p, err
		}, "could not ask is not no"},
		{"a proof with the refusal", func(v *verifier, _, _ string, p proof, err error) (proof, error) {
			p.User.Subject = "1"
			return p, err
		}, "a proof comes with the refusal"},
		{"no subject", on(func(p *proof) { p.User.Subject = "" }), "no subject"},
		{"sets its key", on(func(p *proof) { p.User.Key = "admin:1" }), "that is the engine's"},
		{"sets its realm", on(func(p *proof) { p.User.Realm = "admin" }), "that is the engine's"},
		{"sets its provider", on(func(p *proof) { p.User.Provider = "corp" }), "that is the engine's"},
		{"evidence of somebody", on(func(p *proof) { p.Evidence[0].User = "admin:1" }), "that is the engine's"},
		{"no issuer", on(func(p *proof) { p.Issuer = "" }), "no issuer"},
		{"no evidence", on(func(p *proof) { p.Evidence = nil }), "no evidence"},
		{"no method", on(func(p *proof) { p.Evidence[0].Method = "" }), "without a method"},
		{"another clock", on(func(p *proof) { p.Evidence[0].At = Start.AddDate(0, 0, 1) }), "want the time of the check"},
		{"reserved attribute", on(func(p *proof) { p.User.Attributes["email"] = "x" }), "is reserved"},
		{"one user for all", func(v *verifier, _, _ string, p proof, err error) (proof, error) {
			if err == nil {
				one.Lock()
				defer one.Unlock()
				if v.shared == nil {
					v.shared = &p.User
				}
				p.User = *v.shared
			}
			return p, err
		}, "seen in the next"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			mustSay(t, (&verifier{broken: tc.broken}).problems(t.Context()), tc.want)
		})
	}
}

var one sync.Mutex

// redirector is a sound Redirector of a made-up protocol: the private state holds
// the handle and a nonce, the answer a code that is the nonce again.
type redirector struct {
	n    atomic.Int64
	down atomic.Bool

	begin  func(o flows.Outcome, private []byte, err error) (flows.Outcome, []byte, error)
	handle func(c flows.Callback, h string, err error) (string, error)
	finish func(c flows.Callback, private []byte, p flows.Proof, err error) (flows.Proof, error)
}

func (r *redirector) Begin(_ context.Context, s flows.Start) (flows.Outcome, []byte, error) {
	o, private, err := flows.Outcome(nil), []byte(nil), error(nil)
	if r.down.Load() {
		err = flows.Refuse(flows.ReasonProviderDown, flows.ErrUnavailable)
	} else {
		nonce := fmt.Sprint("nonce-", r.n.Add(1))
		o = flows.Redirect("https://idp.example/?" + url.Values{"state": {s.Handle}, "nonce": {nonce}}.Encode())
		private = []byte("v1 " + s.Handle + " " + nonce)
	}
	if r.begin != nil {
		return r.begin(o, private, err)
	}
	return o, private, err
}

func (r *redirector) Handle(c flows.Callback) (string, error) {
	h, err := "", error(nil)
	if v := c.Values["state"]; len(v) == 1 {
		h = v[0]
	} else {
		err = fmt.Errorf("%d states", len(v))
	}
	if r.handle != nil {
		return r.handle(c, h, err)
	}
	return h, err
}

func (r *redirector) Finish(_ context.Context, c flows.Callback, private []byte) (flows.Proof, error) {
	var p flows.Proof
	var err error
	want := strings.Fields(string(private))
	state, code := c.Values["state"], c.Values["code"]
	if len(want) != 3 || len(state) != 1 || len(code) != 1 || state[0] != want[1] || code[0] != want[2] {
		err = flows.Refuse(flows.ReasonInvalidAnswer, errors.New("not the answer to this login"))
	} else {
		p = flows.Proof{User: flows.User{Subject: "1", Name: "anna"}, Issuer: "https://idp.example", Evidence: []flows.Evidence{{Method: "oidc", At: Start}}}
	}
	if r.finish != nil {
		return r.finish(c, private, p, err)
	}
	return p, err
}

func (r *redirector) problems(ctx context.Context) []error {
	return Redirector{
		Guest: r,
		Start: flows.Start{CallbackURL: "https://app.example/cb", Handle: "h-1", MaxAge: -1},
		Answer: func(s Seen) (flows.Callback, error) {
			u, err := url.Parse(s.URL)
			if err != nil {
				return flows.Callback{}, err
			}
			q := u.Query()
			return flows.Callback{
				Provider: "corp", URL: "https://app.example/cb", Method: "GET",
				Values: map[string][]string{"state": q["state"], "code": q["nonce"]},
			}, nil
		},
		Break: func() { r.down.Store(true) },
	}.Problems(ctx)
}

func TestRedirectorSuiteCatchesBrokenGuests(t *testing.T) {
	t.Parallel()
	if errs := new(redirector).problems(t.Context()); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	anybody := flows.Proof{User: flows.User{Subject: "1"}, Issuer: "x", Evidence: []flows.Evidence{{Method: "oidc", At: Start}}}
	for _, tc := range []struct {
		name string
		r    *redirector
		want string
	}{
		{"asks a page", &redirector{begin: func(_ flows.Outcome, p []byte, err error) (flows.Outcome, []byte, error) {
			return flows.Ask(flows.Page{}), p, err
		}}, "want a redirect or a post"},
		{"keeps nothing", &redirector{begin: func(o flows.Outcome, _ []byte, err error) (flows.Outcome, []byte, error) {
			return o, nil, err
		}}, "no private state"},
		{"is down without a reason", &redirector{begin: func(o flows.Outcome, p []byte, err error) (flows.Outcome, []byte, error) {
			if err != nil {
				err = errors.New("connection refused")
			}
			return o, p, err
		}}, "unreachable: Begin answers"},
		{"takes two states", &redirector{handle: func(c flows.Callback, h string, err error) (string, error) {
			if v := c.Values["state"]; len(v) > 0 {
				return v[0], nil
			}
			return h, err
		}}, "with two state"},
		{"takes no state", &redirector{handle: func(_ flows.Callback, h string, _ error) (string, error) { return h, nil }}, "without a state"},
		{"loses the state", &redirector{handle: func(_ flows.Callback, _ string, err error) (string, error) { return "x", err }}, "Handle:"},
		{"refuses all", &redirector{finish: func(flows.Callback, []byte, flows.Proof, error) (flows.Proof, error) {
			return flows.Proof{}, flows.Refuse(flows.ReasonInvalidAnswer, nil)
		}}, "a good answer is refused"},
		{"takes all", &redirector{finish: func(flows.Callback, []byte, flows.Proof, error) (flows.Proof, error) { return anybody, nil }}, "the answer to another login"},
		{"takes two codes", &redirector{finish: func(c flows.Callback, private []byte, p flows.Proof, err error) (flows.Proof, error) {
			if v := c.Values["code"]; len(v) == 2 {
				return anybody, nil
			}
			return p, err
		}}, "doubled code"},
		{"plain errors", &redirector{finish: func(_ flows.Callback, _ []byte, p flows.Proof, err error) (flows.Proof, error) {
			if err != nil {
				err = errors.New("no")
			}
			return p, err
		}}, "want a refusal with a reason"},
		{"a proof with the refusal", &redirector{finish: func(_ flows.Callback, _ []byte, _ flows.Proof, err error) (flows.Proof, error) {
			return anybody, err
		}}, "a proof comes with it"},
		{"needs no private state", &redirector{finish: func(c flows.Callback, private []byte, p flows.Proof, err error) (flows.Proof, error) {
			if len(private) == 0 {
				return anybody, nil
			}
			return p, err
		}}, "private state of 0 bytes"},
		{"sets its realm", &redirector{finish: func(_ flows.Callback, _ []byte, p flows.Proof, err error) (flows.Proof, error) {
			p.User.Realm = "admin"
			return p, err
		}}, "that is the engine's"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			mustSay(t, tc.r.problems(t.Context()), tc.want)
		})
	}
}

func mustSay(t *testing.T, errs []error, want string) {
	t.Helper()
	for _, err := range errs {
		if strings.Contains(err.Error(), want) {
			return
		}
	}
	t.Errorf("the suite says %v, want %q", errs, want)
}
