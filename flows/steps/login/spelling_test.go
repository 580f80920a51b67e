package login

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// speller is a provider that takes DOMAIN\name and name@domain for name.
type speller struct {
	*passwords
	down error
}

func plain(name string) string {
	_, rest, ok := strings.Cut(name, `\`)
	if !ok {
		rest = name
	}
	local, _, _ := strings.Cut(rest, "@")
	return strings.ToLower(local)
}

func (s *speller) VerifyPassword(ctx context.Context, name, password string) (flows.Proof, error) {
	proof, err := s.passwords.VerifyPassword(ctx, plain(name), password)
	if errors.Is(err, flows.ErrCredentials) {
		err = &flows.CredentialsError{Reason: flows.ReasonAccountLocked, Detail: "the directory says so"}
	}
	return proof, err
}

func (s *speller) Account(_ context.Context, name string) ([]string, error) {
	return []string{"name " + plain(name)}, s.down
}

var spellings = []string{"anna", "ANNA", `CORP\anna`, "anna@corp.example", `other\Anna`, " anna "}

// Spellings of one account share one budget, and so do those of nobody's: else
// the wait would show who exists (B27).
func TestM2SpellingsShareOneBudget(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"anna", "nobody"} {
		corp := &speller{passwords: people("anna")}
		r := newRun(t, flowstest.NewRegistry().Add("corp", "ldap", corp), &Login{})
		for i := range 200 {
			r.guess("192.0.2.66", strings.Replace(strings.ToLower(spellings[i%len(spellings)]), "anna", who, 1), "wrong")
		}
		if n := corp.asked.Load(); n != int64(flows.LimitUserNetwork.Free) {
			t.Errorf("%s: %d of 200 guesses were checked, want %d", who, n, flows.LimitUserNetwork.Free)
		}
	}
}

func TestB27SpellingsDoNotLockOut(t *testing.T) {
	t.Parallel()
	corp := &speller{passwords: people("anna")}
	r := newRun(t, flowstest.NewRegistry().Add("corp", "ldap", corp), &Login{})
	for i := range 100 {
		r.guess("192.0.2.66", spellings[i%len(spellings)], "wrong")
	}
	if seen, done := r.guess("198.51.100.1", "anna", "right"); done == nil {
		t.Errorf("the user in another network: %+v", seen.Page)
	}
	r.x.Env.Device = func(name string) string {
		if name == "anna" {
			return "device-1"
		}
		return ""
	}
	if seen, done := r.guess("192.0.2.66", "anna", "right"); done == nil {
		t.Errorf("the user on a known device: %+v", seen.Page)
	}
	for range 100 {
		if seen, done := r.guess("198.51.100.1", `CORP\anna`, "right"); done == nil {
			t.Fatalf("right answers cost: %+v", seen.Page)
		}
	}
}

// Nobody can be counted by an account that cannot be asked for; nothing is checked then.
func TestSpellingsUnavailable(t *testing.T) {
	t.Parallel()
	corp := &speller{passwords: people("anna"), down: flows.Refuse(flows.ReasonProviderDown, flows.ErrUnavailable)}
	r := newRun(t, flowstest.NewRegistry().Add("corp", "ldap", corp), &Login{})
	for range 20 {
		r.again("192.0.2.1").advance(nil)
		if _, _, err := r.p.Advance(t.Context(), r.x, r.input("username", "anna", "password", "right")); flows.ReasonOf(err) != flows.ReasonProviderDown {
			t.Fatalf("got %v", err)
		}
	}
	if corp.asked.Load() > 0 {
		t.Error("a password was checked")
	}
}

// What the directory said is for the trail; the page says what it always says.
func TestCauseIsNotShown(t *testing.T) {
	t.Parallel()
	r := newRun(t, flowstest.NewRegistry().Add("corp", "ldap", &speller{passwords: people("anna")}), &Login{})
	seen, _ := r.guess("192.0.2.1", "anna", "wrong")
	if seen.Page.Problem != flows.ReasonBadCredentials || r.x.Env.Cause == nil || r.x.Env.Cause.Reason != flows.ReasonAccountLocked {
		t.Errorf("page %q, cause %+v", seen.Page.Problem, r.x.Env.Cause)
	}
}
