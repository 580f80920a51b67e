package module_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

const accountPath = "/.identity/account"

// holder is somebody with an authenticator app, signed in with it.
type holder struct {
	g      *gateway
	op     *oidctest.OP
	clock  *testClock
	b      *browser.Browser
	secret string
	codes  []string
}

// withFactor starts a gateway and has alice enrol and sign in.
func withFactor(t *testing.T, flow string) *holder {
	t.Helper()
	clock, op := newClock(t), newOP(t)
	h := &holder{g: start(t, asked(t, "idp", op)+flow, factorSite), op: op, clock: clock}
	h.secret, h.codes, _ = h.g.enrolled(t, op, clock, newBrowser(t))
	h.b = h.signedIn(t)
	return h
}

// signedIn is another browser of alice's that proved the factor.
func (h *holder) signedIn(t *testing.T) *browser.Browser {
	t.Helper()
	b := newBrowser(t)
	landed(t, fill(t, h.g.open(b, h.g.url("/a")), "code", h.code(t)), "/a", "idp:u-alice")
	return b
}

// code is one of a step that was not used yet.
func (h *holder) code(t *testing.T) string {
	t.Helper()
	h.clock.Advance(30 * time.Second)
	return code(t, h.secret, h.clock)
}

func (h *holder) account(t *testing.T, b *browser.Browser) *browser.Page {
	t.Helper()
	p := h.g.open(b, h.g.url(accountPath))
	if !atAccount(p) {
		t.Fatalf("want the account page, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	return p
}

func atAccount(p *browser.Page) bool {
	path, _, _ := strings.Cut(p.Path(), "?")
	return p.Status == http.StatusOK && path == accountPath
}

// press presses a button of the account page: the first of its kind, or that of a target.
func press(t *testing.T, p *browser.Page, do, target string) *browser.Page {
	t.Helper()
	for _, f := range p.Forms() {
		if f.Fields.Get("do") == do && (target == "" || f.Fields.Get("target") == target) {
			q, err := f.Submit()
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
	}
	t.Fatalf("no button %s %s on\n%s", do, target, p.Text())
	return nil
}

func targets(p *browser.Page, do string) (ids []string) {
	for _, f := range p.Forms() {
		if f.Fields.Get("do") == do {
			ids = append(ids, f.Fields.Get("target"))
		}
	}
	return ids
}

// me is the page as a program reads it.
type me struct {
	Key      string           `json:"key"`
	Factors  []map[string]any `json:"factors"`
	Devices  []map[string]any `json:"devices"`
	Sessions []map[string]any `json:"sessions"`
}

func (h *holder) me(t *testing.T, b *browser.Browser) (m me) {
	t.Helper()
	p := h.g.send(b, browser.Request{URL: h.g.url(accountPath), Script: true, Header: http.Header{"Accept": {"application/json"}}})
	if p.Status != http.StatusOK || json.Unmarshal([]byte(p.Body), &m) != nil {
		t.Fatalf("the account as JSON: %d\n%s", p.Status, p.Body)
	}
	return m
}

func TestAccountWalk(t *testing.T) {
	h := withFactor(t, rememberFlow)
	p := h.account(t, h.b)
	for _, words := range []string{"Authenticator app", "Recovery codes", "this browser", "Your second factor is asked for in every browser"} {
		if !p.Has(words) {
			t.Errorf("the page has no %q\n%s", words, p.Text())
		}
	}
	if strings.Contains(p.Body, h.secret) || strings.Contains(p.Body, ticketOf(t, h.g, h.b).Value) {
		t.Fatal("the page shows a secret")
	}

	id := targets(p, "factor_name")[0]
	p = fill(t, press(t, p, "factor_name", id), "name", "My \u202ephone\n")
	p = fill(t, p, "code", h.code(t))
	if !atAccount(p) || !p.Has("My phone") || !p.Has("The name is saved") {
		t.Fatalf("after naming: %d at %s\n%s", p.Status, p.URL, p.Text())
	}

	p = press(t, p, "factor_add", "totp")
	asksForCode(t, "to add a factor", p)
	p = fill(t, p, "code", h.code(t))
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d\n%s", p.Status, p.Text())
	}
	second := strings.ReplaceAll(m[1], " ", "")
	p = fill(t, p, "code", code(t, second, h.clock))
	if !atAccount(p) || len(targets(p, "factor_remove")) != 3 {
		t.Fatalf("after adding: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if e := h.g.events("factor_added", 3); e[2]["factor"] != "totp" || e[2]["user"] != "idp:u-alice" {
		t.Fatalf("the trail says %v", e)
	}

	p = press(t, p, "factor_remove", id)
	if !p.Has("My phone") {
		t.Fatalf("the page does not say what is removed\n%s", p.Text())
	}
	p = fill(t, fill(t, p), "code", h.code(t))
	if !atAccount(p) || p.Has("My phone") || len(targets(p, "factor_remove")) != 2 {
		t.Fatalf("after removing: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	h.g.events("factor_removed", 1)
	h.secret = second

	h.clock.Advance(30 * time.Second)
	p = fill(t, press(t, p, "download", ""), "code", code(t, second, h.clock))
	if p.Has("totp") || !p.Has("Save the file") {
		t.Fatalf("want the page of the download, got\n%s", p.Text())
	}
	file := fill(t, p, "download", "my-data.json")
	var data me
	if err := json.Unmarshal([]byte(file.Body), &data); err != nil || data.Key != "idp:u-alice" || len(data.Factors) != 2 || len(data.Sessions) < 2 {
		t.Fatalf("the file: %v\n%s", err, file.Body)
	}
	if strings.Contains(file.Body, second) || strings.Contains(file.Body, "hash") {
		t.Fatal("the file holds a secret")
	}
	h.g.events("data_exported", 1)
	if p = fill(t, p); !atAccount(p) {
		t.Fatalf("behind the download: %s", p.URL)
	}
}

// Trust in a browser is not enough for the account page (I03).
func TestI03TheAccountPageAsksInATrustedBrowser(t *testing.T) {
	h := withFactor(t, rememberFlow)
	b := h.g.trusting(t, h.clock, h.secret)
	landed(t, h.g.again(t, b), "/a", "idp:u-alice")
	p := h.g.open(b, h.g.url(accountPath))
	asksForCode(t, "the account page", p)
	if p.Has("Do not ask in this browser") {
		t.Fatal("the page offers what it does not take")
	}
	p = fill(t, p, "code", h.code(t))
	if !atAccount(p) || len(targets(p, "device_remove")) != 1 {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p = fill(t, press(t, p, "device_remove", ""))
	asksForCode(t, "to remove a device", p)
	p = fill(t, p, "code", h.code(t))
	if len(targets(p, "device_remove")) != 0 || !p.Has("asked again") {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	h.g.events("device_forgotten", 1)
	asksForCode(t, "in a browser that is trusted no more", h.g.again(t, b))
}

// What was enrolled just now is no proof for the account page.
func TestI03WhatWasEnrolledJustNowDoesNotOpenTheAccount(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	b := newBrowser(t)
	g.enrolled(t, op, clock, b)
	asksForCode(t, "right behind the enrolment", g.open(b, g.url(accountPath)))
}

// A factor that changes ends the trust in browsers (I24).
func TestI24AChangedFactorEndsTrust(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, h *holder){
		"one more": func(t *testing.T, h *holder) {
			p := fill(t, press(t, h.account(t, h.b), "factor_add", "totp"), "code", h.code(t))
			m := manualKey.FindStringSubmatch(p.Body)
			fill(t, p, "code", code(t, strings.ReplaceAll(m[1], " ", ""), h.clock))
		},
		"new recovery codes": func(t *testing.T, h *holder) {
			fill(t, fill(t, press(t, h.account(t, h.b), "factor_add", "recovery"), "code", h.code(t)))
		},
		"one less": func(t *testing.T, h *holder) {
			p := h.account(t, h.b)
			ids := targets(p, "factor_remove")
			fill(t, fill(t, press(t, p, "factor_remove", ids[1])), "code", h.code(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := withFactor(t, rememberFlow)
			b := h.g.trusting(t, h.clock, h.secret)
			landed(t, h.g.again(t, b), "/a", "idp:u-alice")
			change(t, h)
			if m := h.me(t, h.b); len(m.Devices) != 0 {
				t.Errorf("still listed: %v", m.Devices)
			}
			asksForCode(t, "after the change", h.g.again(t, b))
		})
	}
}

// New recovery codes replace the old ones (M6).
func TestM06NewRecoveryCodesReplaceTheOld(t *testing.T) {
	h := withFactor(t, factorFlow)
	p := fill(t, press(t, h.account(t, h.b), "factor_add", "recovery"), "code", h.code(t))
	if !p.Has("Keep these recovery codes") || p.Has(h.codes[0]) {
		t.Fatalf("want new codes, got %d\n%s", p.Status, p.Text())
	}
	p = fill(t, p)
	if n := len(targets(p, "factor_remove")); n != 2 {
		t.Fatalf("%d factors are listed", n)
	}
	b := newBrowser(t)
	if p = fill(t, fill(t, h.g.open(b, h.g.url("/a")), "factor", "recovery"), "code", h.codes[1]); p.Status != http.StatusUnauthorized {
		t.Fatalf("an old code works: %d at %s", p.Status, p.URL)
	}
}

// The last factor goes by its own proof or a recovery code; then none is left.
func TestM06RemovingTheLastFactor(t *testing.T) {
	for name, prove := range map[string]func(t *testing.T, h *holder, p *browser.Page) *browser.Page{
		"by itself": func(t *testing.T, h *holder, p *browser.Page) *browser.Page { return fill(t, p, "code", h.code(t)) },
		"by a recovery code": func(t *testing.T, h *holder, p *browser.Page) *browser.Page {
			return fill(t, fill(t, p, "factor", "recovery"), "code", h.codes[2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := withFactor(t, factorFlow)
			p := h.account(t, h.b)
			q := fill(t, press(t, p, "factor_remove", targets(p, "factor_remove")[0]))
			if wrong := fill(t, q, "code", "000000"); wrong.Status != http.StatusUnauthorized {
				t.Fatalf("a wrong code: %d", wrong.Status)
			}
			h.clock.Advance(time.Minute)
			q = prove(t, h, h.g.open(h.b, h.g.url("/.identity/flow")))
			if !atAccount(q) || len(targets(q, "factor_remove")) != 0 || !q.Has("You have not set one up") {
				t.Fatalf("got %d at %s\n%s", q.Status, q.URL, q.Text())
			}
			if p := h.g.open(newBrowser(t), h.g.url("/a")); p.Status != http.StatusForbidden {
				t.Fatalf("who has no factor any more: %d at %s", p.Status, p.URL)
			}
		})
	}
}

// A session that was ended elsewhere changes nothing any more, not even in the last
// step of a run that it began (I15).
func TestI15ARevokedSessionChangesNothing(t *testing.T) {
	h := withFactor(t, factorFlow)
	other := h.signedIn(t)
	p := h.account(t, h.b)
	q := fill(t, press(t, p, "factor_remove", targets(p, "factor_remove")[0]))
	ends := fill(t, fill(t, press(t, h.account(t, other), "sessions_end", "")), "code", h.code(t))
	if !atAccount(ends) || len(targets(ends, "session_end")) != 0 {
		t.Fatalf("got %d at %s\n%s", ends.Status, ends.URL, ends.Text())
	}
	q = fill(t, q, "code", h.code(t))
	if atAccount(q) {
		t.Fatalf("an ended session is served its account: %s", q.Text())
	}
	if m := h.me(t, other); len(m.Factors) != 2 || len(m.Sessions) != 1 {
		t.Fatalf("a revoked session removed a factor: %v", m)
	}
	if h.g.count("factor_removed") != 0 {
		t.Fatal("the trail says that it was removed")
	}
}

func TestAccountEndsOneSession(t *testing.T) {
	h := withFactor(t, factorFlow)
	other := h.signedIn(t)
	p := h.account(t, h.b)
	h.account(t, other)
	var id string
	for _, s := range h.me(t, other).Sessions {
		if s["here"] == true {
			id = s["id"].(string)
		}
	}
	if id == "" || !slices.Contains(targets(p, "session_end"), id) {
		t.Fatalf("session %q is not on the page: %v", id, targets(p, "session_end"))
	}
	fill(t, fill(t, press(t, p, "session_end", id)), "code", h.code(t))
	q := h.g.send(other, browser.Request{URL: h.g.url("/.identity/session"), Script: true})
	if q.Status != http.StatusUnauthorized {
		t.Fatalf("the session lives: %d %s", q.Status, q.Body)
	}
	h.account(t, h.b)
}

// Who has no factor proves who they are by the login once more; the first factor is
// set up by I07, and not by a session of before.
func TestI07AccountTheFirstFactor(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	flow := "factor totp\nfactor recovery\nflow staff {\nlogin idp\n}\n"
	g := start(t, asked(t, "idp", op)+flow, "protect staff {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
	h := &holder{g: g, op: op, clock: clock, b: b}
	if got := targets(h.account(t, b), "factor_add"); !slices.Equal(got, []string{"totp"}) {
		t.Fatalf("what can be set up: %q", got)
	}
	// The provider's word in the session is of before; what it says now is a password alone.
	mfaUser(op, "pwd")
	logins := op.Counts().Authorize
	p := press(t, h.account(t, b), "factor_add", "")
	if p.Status != http.StatusForbidden || op.Counts().Authorize != logins+1 {
		t.Fatalf("want 403 behind a new login, got %d at %s, %d logins\n%s", p.Status, p.URL, op.Counts().Authorize-logins, p.Text())
	}
	mfaUser(op, "pwd", "mfa")
	p = press(t, h.account(t, b), "factor_add", "")
	m := manualKey.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatalf("want the page that sets up an app, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	secret := strings.ReplaceAll(m[1], " ", "")
	p = fill(t, fill(t, p, "code", code(t, secret, clock)))
	if !atAccount(p) || len(targets(p, "factor_remove")) != 2 {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
}

// A login of somebody else ends the attempt (I02).
func TestI02AccountAnotherPersonsLoginProvesNothing(t *testing.T) {
	op := newOP(t)
	g := start(t, asked(t, "idp", op)+"flow staff {\nlogin idp\n}\n", "protect staff {\nheader X-Key {user.key}\n}\nreverse_proxy {APP}")
	mfaUser(op)
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/a")), "/a", "idp:u-alice")
	h := &holder{g: g, op: op, b: b}
	p := h.account(t, b)
	op.SetUser(map[string]any{"sub": "u-bob", "preferred_username": "bob"})
	p = fill(t, press(t, p, "erase", ""))
	if p.Status != http.StatusForbidden || h.g.count("account_erased") != 0 {
		t.Fatalf("want 403, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
}

// Erasing asks twice, ends everything, and leaves the trail.
func TestAccountErase(t *testing.T) {
	h := withFactor(t, rememberFlow)
	trusted := h.g.trusting(t, h.clock, h.secret)
	other := h.signedIn(t)
	p := fill(t, press(t, h.account(t, h.b), "erase", ""))
	p = fill(t, p, "code", h.code(t))
	if !p.Has("This cannot be undone") {
		t.Fatalf("want to be asked again, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if p = fill(t, p); !p.Has("This cannot be undone") || h.g.count("account_erased") != 0 {
		t.Fatalf("without the box ticked: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	p = fill(t, p, "serial", p.Forms()[0].Fields.Get("serial"), "sure", "1")
	if p.Status != http.StatusOK || !p.Has("You are signed out") || h.g.hasTicket(h.b) {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if e := h.g.events("account_erased", 1); e[0]["user"] != "idp:u-alice" {
		t.Fatalf("the trail says %v", e)
	}
	for what, b := range map[string]*browser.Browser{"another session": other, "a trusted browser": trusted, "this one": h.b} {
		if p := h.g.open(b, h.g.url("/a")); p.Status != http.StatusForbidden { // not_enrolled: neither session nor factor nor trust is left
			t.Errorf("%s: want 403, got %d at %s\n%s", what, p.Status, p.URL, p.Text())
		}
	}
}

// Nothing of another person's can be named.
func TestI12AccountOtherPeoplesRecordsAreRefused(t *testing.T) {
	h := withFactor(t, rememberFlow)
	h.g.trusting(t, h.clock, h.secret)
	alices := h.me(t, func() *browser.Browser { h.account(t, h.b); return h.b }())
	h.op.SetUser(map[string]any{"sub": "u-bob", "preferred_username": "bob", "amr": []string{"pwd", "mfa"}})
	b := newBrowser(t)
	p := h.g.open(b, h.g.url("/a"))
	bobs := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	fill(t, fill(t, p, "code", code(t, bobs, h.clock)))
	h.clock.Advance(time.Minute)
	p = fill(t, h.g.open(b, h.g.url(accountPath)), "code", code(t, bobs, h.clock))
	if !atAccount(p) {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if got := h.me(t, b); len(got.Sessions) != 1 || len(got.Devices) != 0 || got.Key != "idp:u-bob" {
		t.Fatalf("bob sees %v", got)
	}
	token := p.Forms()[0].Fields.Get("token")
	for do, id := range map[string]any{
		"factor_name": alices.Factors[0]["id"], "factor_remove": alices.Factors[1]["id"],
		"device_remove": alices.Devices[0]["id"], "session_end": alices.Sessions[0]["id"],
	} {
		q, err := b.Navigate(browser.Request{
			Method: http.MethodPost, URL: h.g.url(accountPath), From: p,
			Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			Body:   url.Values{"token": {token}, "do": {do}, "target": {id.(string)}}.Encode(),
		})
		if err != nil || !atAccount(q) {
			t.Errorf("%s of alice's %v: %v, %d at %s\n%s", do, id, err, q.Status, q.URL, q.Text())
		}
	}
}
