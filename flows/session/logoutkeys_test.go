package session_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/session"
)

func named(keys ...string) func(*flows.Proof) {
	return func(p *flows.Proof) { p.LogoutKeys = keys }
}

func initiated(at time.Time) func(*flows.Proof) {
	return func(p *flows.Proof) { p.Evidence[0].Kind, p.Evidence[0].At = flows.IDPInitiated, at }
}

func TestI14SessionsAreFoundByTheProvidersOwnNames(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, one, err := r.try(r.run("default", "carol", "", named("n-carol", "n-carol-1")), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := r.try(r.run("default", "carol", "", named("n-carol", "n-carol-2")), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.login("dave", "n-carol") // a sid is another kind of name
	for _, tc := range []struct {
		provider string
		keys     []string
		want     []string
	}{
		{"corp", []string{"n-carol"}, []string{one.ID(), two.ID()}},
		{"corp", []string{"n-carol-1"}, []string{one.ID()}},
		{"corp", []string{"n-carol-1", "n-carol-2", "n-carol"}, []string{one.ID(), two.ID()}},
		{"corp", []string{"n-carol-3"}, nil},
		{"other", []string{"n-carol"}, nil},
		{"corp", nil, nil},
	} {
		slices.Sort(tc.want)
		got, err := r.ByLogoutKeys(bg, tc.provider, tc.keys)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s %v: got %v, %v, want %v", tc.provider, tc.keys, got, err, tc.want)
		}
	}
	for key, row := range r.Store.(*double).rows {
		if s := fmt.Sprint(key, string(row.val), row.index); strings.Contains(s, "n-carol") {
			t.Errorf("the store shows a name: %s", s)
		}
	}
	// A tombstone is found, too: the provider may say it once more.
	if _, _, err := r.End(bg, one.ID(), flows.ReasonRevoked); err != nil {
		t.Fatal(err)
	}
	if got, err := r.ByLogoutKeys(bg, "corp", []string{"n-carol-1"}); err != nil || !slices.Equal(got, []string{one.ID()}) {
		t.Errorf("ended: %v %v", got, err)
	}
}

// TestI15RevokedByTheProvidersOwnName: what was said before the logout makes no
// session behind it, whenever it is brought.
func TestI15RevokedByTheProvidersOwnName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	said := r.clock.Now()
	tk, s, err := r.try(r.run("default", "carol", "", named("n", "n-1")), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	underWay := r.run("default", "carol", "", named("n", "n-2"))
	r.clock.Advance(time.Second)
	if err := r.NotBeforeLogoutKey(bg, "corp", "n", r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second)
	r.wantLoad(tk, session.ErrEnded)
	if err := r.Check(bg, s); !errors.Is(err, session.ErrEnded) {
		t.Errorf("check: %v", err)
	}
	for name, tc := range map[string]struct {
		fin  flows.Finished
		want flows.Reason
	}{
		"under way":                        {underWay, flows.ReasonRevoked},
		"said before, brought later":       {r.run("default", "carol", "", named("n"), initiated(said)), flows.ReasonRevoked},
		"said later":                       {r.run("default", "carol", "", named("n"), initiated(r.clock.Now())), ""},
		"asked for later, signed in early": {r.run("default", "carol", "", named("n"), func(p *flows.Proof) { p.Evidence[0].At = said }), ""},
		"another name":                     {r.run("default", "carol", "", named("n-1"), initiated(said)), ""},
	} {
		_, _, err := r.try(tc.fin, nil, nil)
		if got := flows.ReasonOf(err); err == nil && tc.want != "" || err != nil && got != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
