package login

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// tokens is a factor whose key is a word behind its owner's handle: "h1 right".
type tokens struct{ begun int }

func (*tokens) Labels() (use, setUp string) { return "use", "set_up" }

func (k *tokens) Begin(_ context.Context, c *flows.Challenge) error {
	k.begun++
	return c.Keep(k.begun)
}

func (*tokens) Draw(c *flows.Challenge) flows.Page {
	return flows.Page{Kind: "passkey", Widgets: []flows.Widget{flows.Note{Code: "n"}, flows.Credential{Name: "key", Options: c.State}}}
}

func (*tokens) Holder(in flows.Input) (string, bool) {
	v := in.Value("key")
	if len(v) < 2 {
		return "", v != ""
	}
	return v[:2], true
}

func (*tokens) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	if len(c.Records) == 0 || in.Value("key") != c.Records[0].Handle+" right "+string(c.State) {
		return flows.Verdict{}, flows.ErrCredentials
	}
	return flows.Verdict{Record: c.Records[0].ID, AMR: []string{"hwk", "mfa"}, Use: func(r flows.Record) (flows.Record, error) { return r, nil }}, nil
}

// owners are people with keys.
type owners struct {
	flows.Enrolments
	users   map[string]*flows.User
	vouched time.Time
	down    error
	used    int
}

func (o *owners) Holder(_ context.Context, handle string) (*flows.User, time.Time, error) {
	if o.down != nil {
		return nil, time.Time{}, o.down
	}
	u, ok := o.users[handle]
	if !ok {
		return nil, time.Time{}, flows.ErrNotFound
	}
	same := *u
	return &same, o.vouched, nil
}

func (o *owners) List(_ context.Context, user flows.UserKey) (list []flows.Record, err error) {
	for h, u := range o.users {
		if u.Key == user {
			list = append(list, flows.Record{ID: "r", Factor: "webauthn", Handle: h})
		}
	}
	return list, nil
}

func (o *owners) Use(context.Context, flows.UserKey, string, func(flows.Record) (flows.Record, error)) error {
	o.used++
	return nil
}

// witness is a provider that can be asked for people again.
type witness struct {
	*passwords
	until time.Time
	err   error
}

func (w *witness) Vouch(_ context.Context, subject string) (flows.User, time.Time, error) {
	return flows.User{Subject: subject, Name: "as it is now"}, w.until, w.err
}

func newOwners() *owners {
	return &owners{vouched: flowstest.Start, users: map[string]*flows.User{
		"h1": {Key: "corp:anna", Realm: "corp", Provider: "corp", Subject: "anna", Name: "anna"},
		"h2": {Key: "far:ben", Realm: "far", Provider: "far", Subject: "ben", Name: "ben"},
	}}
}

type keyRun struct {
	*run
	keys   *tokens
	owners *owners
}

func withKeys(t *testing.T, l *Login, providers ...*flows.Provider) *keyRun {
	t.Helper()
	reg := flowstest.NewRegistry(providers...)
	k := &keyRun{keys: new(tokens), owners: newOwners()}
	reg.Factors = map[string]flows.Factor{"webauthn": k.keys}
	k.run = newRun(t, reg, l)
	return k.anew()
}

func (k *keyRun) anew() *keyRun {
	k.again("192.0.2.1")
	k.x.Env.Enrolments, k.x.Env.Holders = k.owners, k.owners
	return k
}

// answer tries a key on the page of a new run.
func (k *keyRun) answer(key string) (flowstest.Seen, *flows.Finished) {
	k.t.Helper()
	k.anew()
	k.advance(nil)
	return k.submit("key", key+" "+strconv.Itoa(k.keys.begun))
}

func provider(name string, g flows.ProviderGuest) *flows.Provider {
	return &flows.Provider{Name: name, Type: "test", Guest: g}
}

func credential(p flows.Page) (c flows.Credential, there bool) {
	for _, w := range p.Widgets {
		if w, ok := w.(flows.Credential); ok {
			c, there = w, true
		}
	}
	return c, there
}

func TestPasskeyPages(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		l           *Login
		kind        string
		conditional bool
	}{
		"alone":           {&Login{Providers: []string{"passkey"}}, "passkey", false},
		"beside a form":   {&Login{Providers: []string{"corp", "passkey"}}, "password", true},
		"beside a trip":   {&Login{Providers: []string{"far", "passkey"}}, "choose", false},
		"beside both":     {&Login{Providers: []string{"far", "corp", "passkey"}}, "choose", false},
		"where one types": {&Login{Providers: []string{"far", "corp", "passkey"}, Discover: []Discover{{"far", []string{"@a.test"}}}}, "choose", true},
	} {
		k := withKeys(t, tc.l, provider("corp", people("anna")), provider("far", idp("1")))
		seen, _ := k.advance(nil)
		c, ok := credential(seen.Page)
		if !ok || seen.Page.Kind != tc.kind || c.Conditional != tc.conditional {
			t.Errorf("%s: %+v", name, seen.Page)
		}
		for _, f := range []string{"username", "email"} {
			if f, ok := field(seen.Page, f); ok && f.Autocomplete != "username webauthn" {
				t.Errorf("%s: autofill %q", name, f.Autocomplete)
			}
		}
		begun := k.keys.begun
		shown, err := tc.l.Show(t.Context(), k.x)
		if again, _ := credential(shown); err != nil || string(again.Options) != string(c.Options) || k.keys.begun != begun {
			t.Errorf("%s: showing it again makes another challenge: %v", name, err)
		}
	}
	k := withKeys(t, &Login{Providers: []string{"corp", "passkey"}}, provider("corp", people("anna")))
	k.advance(nil)
	seen, _ := k.submit("username", "anna", "password", "wrong")
	if _, ok := credential(seen.Page); !ok || seen.Page.Problem != flows.ReasonBadCredentials {
		t.Errorf("behind a wrong password: %+v", seen.Page)
	}
	if _, done := k.submit("username", "anna", "password", "right"); done == nil || k.x.Evidence[0].Provider != "corp" {
		t.Error("the password does not work beside a passkey")
	}
}

func TestI02PasskeyIsOnePersonOfThisLogin(t *testing.T) {
	t.Parallel()
	corp := provider("corp", people("anna"))
	k := withKeys(t, &Login{Providers: []string{"corp", "passkey"}}, corp, provider("far", idp("1")))
	_, done := k.answer("h1 right")
	if done == nil || k.x.User.Key != "corp:anna" || k.x.Evidence[0].Provider != flows.Passkey || len(k.x.Grants) != 0 || k.owners.used != 1 {
		t.Fatalf("done %v, user %+v, evidence %+v", done, k.x.User, k.x.Evidence)
	}
	if seen, _ := k.answer("h2 right"); seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonNotAllowed {
		t.Errorf("somebody of another provider: %+v", seen)
	}
	k.anew()
	k.x.User = &flows.User{Key: "corp:other", Realm: "corp"}
	k.advance(nil)
	if seen, _ := k.submit("key", "h1 right "+strconv.Itoa(k.keys.begun)); seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonUserMismatch {
		t.Errorf("somebody else's run: %+v", seen)
	}
	corp.Guest.Options().Scope = []string{"@corp.test"}
	if seen, _ := k.answer("h1 right"); seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonNotAllowed {
		t.Errorf("out of the provider's scope: %+v", seen)
	}
	all := withKeys(t, &Login{Providers: []string{"passkey"}}, corp, provider("far", idp("1")))
	if _, done := all.answer("h2 right"); done == nil {
		t.Error("alone it takes the people of every provider")
	}
}

func TestPasskeyEvidenceSatisfies(t *testing.T) {
	t.Parallel()
	k := withKeys(t, &Login{Providers: []string{"corp", "passkey"}}, provider("corp", people("anna")))
	for what, tc := range map[string]struct {
		realm string
		e     flows.Evidence
		want  bool
	}{
		"a passkey of our people":       {"corp", flows.Evidence{Provider: flows.Passkey}, true},
		"a passkey of others":           {"far", flows.Evidence{Provider: flows.Passkey}, false},
		"a second factor is no passkey": {"corp", flows.Evidence{Method: "webauthn"}, false},
	} {
		k.anew()
		k.x.User = &flows.User{Key: flows.UserKey(tc.realm + ":anna"), Realm: tc.realm}
		tc.e.User = k.x.User.Key
		k.x.Evidence = []flows.Evidence{tc.e}
		if _, done := k.advance(nil); (done != nil) != tc.want {
			t.Errorf("%s: %v", what, done != nil)
		}
	}
}

func TestPasskeyVouching(t *testing.T) {
	t.Parallel()
	k := withKeys(t, &Login{Providers: []string{"far", "passkey"}}, provider("far", idp("1")))
	k.owners.vouched = flowstest.Start.Add(-vouchedFor)
	if _, done := k.answer("h2 right"); done == nil {
		t.Error("a word of 30 days is good")
	}
	k.owners.vouched = k.owners.vouched.Add(-time.Second)
	seen, done := k.answer("h2 right")
	if done != nil || seen.Page.Problem != flows.ReasonVouchExpired || k.x.User != nil {
		t.Errorf("an older one: %+v", seen)
	}
	w := &witness{passwords: people("anna"), until: flowstest.Start.Add(time.Hour)}
	k = withKeys(t, &Login{Providers: []string{"corp", "passkey"}}, provider("corp", w))
	k.owners.vouched = time.Time{}
	if _, done := k.answer("h1 right"); done == nil || k.x.User.Name != "as it is now" || k.x.User.Key != "corp:anna" || !k.x.NotAfter.Equal(w.until) {
		t.Errorf("a provider that can be asked: %+v until %s", k.x.User, k.x.NotAfter)
	}
	w.err = flows.ErrCredentials
	if seen, _ := k.answer("h1 right"); seen.Kind != "deny" || seen.Denial.Reason != flows.ReasonAccountDisabled {
		t.Errorf("an account that is gone: %+v", seen)
	}
	for _, down := range []func(){
		func() { w.err = flows.Refuse(flows.ReasonProviderDown, errors.New("down")) },
		func() { k.owners.down = flows.ErrUnavailable },
	} {
		down()
		k.anew()
		k.advance(nil)
		if _, _, err := k.p.Advance(t.Context(), k.x, k.input("key", "h1 right "+strconv.Itoa(k.keys.begun))); err == nil {
			t.Error("what could not be asked is an error, and nobody gets in")
		}
	}
}

// Wrong answers are counted for the network before they are judged, right ones give
// the try back, and each has a challenge of its own (I08, I09).
func TestI08PasskeyTriesAreCounted(t *testing.T) {
	t.Parallel()
	k := withKeys(t, &Login{Providers: []string{"corp", "passkey"}}, provider("corp", people("anna")))
	for range 2 * flows.LimitNetwork.Free {
		if _, done := k.answer("h1 right"); done == nil {
			t.Fatal("a right answer was counted")
		}
	}
	k.anew()
	k.advance(nil)
	judged := 0
	for range 2 * flows.LimitNetwork.Free {
		begun := k.keys.begun
		for _, key := range []string{"h1 wrong", "h9 right", "x"} {
			if seen, _ := k.submit("key", key); seen.Page.Problem == flows.ReasonKeyRefused {
				judged++
			} else if seen.Page.Problem != flows.ReasonTooManyTries || seen.Page.Wait == 0 {
				t.Fatalf("%s: %+v", key, seen.Page)
			}
		}
		if judged < flows.LimitNetwork.Free && k.keys.begun != begun+3 {
			t.Fatal("a refused answer left its challenge")
		}
	}
	if judged > flows.LimitNetwork.Free+1 {
		t.Errorf("%d wrong answers were judged", judged)
	}
}

func TestPasskeyNeedsItsFactor(t *testing.T) {
	t.Parallel()
	reg := flowstest.NewRegistry(provider("corp", people("anna")))
	if err := (&Login{Providers: []string{"passkey"}}).Bind(reg); err == nil {
		t.Error("bound without a factor")
	}
	reg.Factors = map[string]flows.Factor{"webauthn": struct{ flows.Factor }{}}
	if err := (&Login{Providers: []string{"passkey"}}).Bind(reg); err == nil {
		t.Error("bound to a factor that knows nobody")
	}
}
