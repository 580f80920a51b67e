package module_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// stepsFlow asks everybody for everything, once.
const stepsFlow = `flow staff {
login corp
consent terms 3 {
title "House rules"
text "Close the door."
}
form "Your badge" {
field badge text "Badge number" {
pattern [A-Z]{2}[0-9]{4} "Two letters and four digits."
}
}
choose "Where do you work?" {
option office "In the office" {
set place ` + "`\"office\"`" + `
}
option home "At home" {
set place ` + "`\"home\"`" + `
}
remember 30d
}
}
`

const stepsSite = "protect staff {\nheader X-Key {user.key}\nheader X-Badge {user.badge}\nheader X-Place {user.place}\n}\nreverse_proxy {APP}"

// throughSteps walks a browser through a login and everything behind it.
func (g *gateway) throughSteps(t *testing.T, b *browser.Browser) *browser.Page {
	t.Helper()
	p := g.signIn(b, "/a", "alice", "alicepw")
	p = fill(t, p, "answer", "agree")
	p = fill(t, p, "badge", "AB1234")
	return fill(t, p, "option", "home")
}

func TestStepsThatAskWalk(t *testing.T) {
	clock := newClock(t)
	g := start(t, people(t)+stepsFlow, stepsSite)
	b := newBrowser(t)
	p := g.signIn(b, "/a", "alice", "alicepw")
	if p.Status != http.StatusOK || !p.Has(`value="agree"`) || g.hasTicket(b) {
		t.Fatalf("want the document, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p = fill(t, p, "answer", "agree")
	if e := g.events("consent_given", 1)[0]; e["user"] != "corp:alice" || !strings.HasPrefix(e["item"].(string), "terms 3 sha256:") || e["rule"] != "Caddyfile:23" {
		t.Errorf("the trail has %v", e)
	}
	p = fill(t, p, "badge", "1234")
	if p.Status != http.StatusUnprocessableEntity || !p.Has("Two letters and four digits.") || !p.Has(`value="1234"`) {
		t.Fatalf("a wrong answer: %d\n%s", p.Status, p.Text())
	}
	p = fill(t, p, "badge", "AB1234")
	if e := g.events("answers_kept", 1)[0]; e["item"] != "badge" || e["user"] != "corp:alice" {
		t.Errorf("the trail has %v", e)
	}
	if !p.Has("At home") || g.hasTicket(b) {
		t.Fatalf("want the choice, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p = fill(t, p, "option", "home")
	landed(t, p, "/a", "corp:alice")
	if !p.Has("X-Badge: AB1234") || !p.Has("X-Place: home") {
		t.Errorf("the application got\n%s", p.Text())
	}
	// Whoever did all of it before signs in and is there.
	clock.Advance(time.Hour)
	p = g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	landed(t, p, "/a", "corp:alice")
	if !p.Has("X-Badge: AB1234") || !p.Has("X-Place: home") {
		t.Errorf("the application got\n%s", p.Text())
	}
}

func TestConsentDeclined(t *testing.T) {
	g := start(t, people(t)+stepsFlow, stepsSite)
	b := newBrowser(t)
	p := fill(t, g.signIn(b, "/a", "alice", "alicepw"), "answer", "decline")
	if p.Status != http.StatusForbidden || !p.Has("You did not agree") || g.hasTicket(b) {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if e := g.events("login_denied", 1)[0]; e["reason"] != "consent_declined" || e["user"] != "corp:alice" || e["step"] != "consent" {
		t.Errorf("the trail has %v", e)
	}
	if p = g.signIn(newBrowser(t), "/a", "alice", "alicepw"); !p.Has(`value="agree"`) {
		t.Errorf("not asked again:\n%s", p.Text())
	}
}

// A new version asks again at the next login; a session that is there goes on.
func TestConsentToANewVersion(t *testing.T) {
	g := start(t, people(t)+stepsFlow, stepsSite)
	b := newBrowser(t)
	landed(t, g.throughSteps(t, b), "/a", "corp:alice")
	if err := g.load(people(t)+strings.Replace(stepsFlow, "terms 3", "terms 4", 1), stepsSite); err != nil {
		t.Fatal(err)
	}
	landed(t, g.open(b, g.url("/a")), "/a", "corp:alice")
	p := g.signIn(newBrowser(t), "/a", "alice", "alicepw")
	if !p.Has(`value="agree"`) {
		t.Fatalf("not asked for the new version:\n%s", p.Text())
	}
	landed(t, fill(t, p, "answer", "agree"), "/a", "corp:alice")
}

// B20: what is erased stays so, also what a rotation of keys had carried over.
func TestB20WhatPeopleHaveErasedStaysErased(t *testing.T) {
	const old, newer = "keys 0123456789abcdef0123456789abcdef\n", "keys fedcba9876543210fedcba9876543210 0123456789abcdef0123456789abcdef\n"
	g := start(t, old+people(t)+stepsFlow, stepsSite)
	landed(t, g.throughSteps(t, newBrowser(t)), "/a", "corp:alice")
	if err := g.load(newer+people(t)+stepsFlow, stepsSite); err != nil {
		t.Fatal(err)
	}
	keepers := slices.DeleteFunc(theApp(t).Keepers(), func(k flows.Keeper) bool { return k.Keeps() == "own_account" }) // a provider's own people
	if len(keepers) != 3 {
		t.Fatalf("%d guests keep something", len(keepers))
	}
	for _, k := range keepers {
		if list, err := k.Export(t.Context(), "corp:alice"); err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", k.Keeps(), list, err)
		}
		if err := k.Erase(t.Context(), "corp:alice"); err != nil {
			t.Error(err)
		}
		if list, err := k.Export(t.Context(), "corp:alice"); err != nil || len(list) != 0 {
			t.Errorf("%s, erased: %v, %v", k.Keeps(), list, err)
		}
	}
	if p := g.signIn(newBrowser(t), "/a", "alice", "alicepw"); !p.Has(`value="agree"`) {
		t.Errorf("not asked again:\n%s", p.Text())
	}
}
