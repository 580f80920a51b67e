package module_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/examples/browser"
)

var formHeader = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// Every change is asked for by a form of our own page in a navigation: other sites,
// frames and scripts are refused, whatever they know (I11, I12).
func TestI11AccountOnlyOurOwnPageBegins(t *testing.T) {
	h := withFactor(t, factorFlow)
	p := h.account(t, h.b)
	form := url.Values{"token": {p.Forms()[0].Fields.Get("token")}, "do": {"factor_add"}, "target": {"totp"}}
	other := *p
	other.URL = "http://attacker.example/"
	with := func(more ...string) http.Header {
		hd := formHeader.Clone()
		for i := 0; i < len(more); i += 2 {
			hd.Set(more[i], more[i+1])
		}
		return hd
	}
	without := url.Values{"do": form["do"], "target": form["target"]}
	for name, r := range map[string]browser.Request{
		"a script":           {From: p, Script: true, Header: formHeader, Body: form.Encode()},
		"a script with JSON": {From: p, Script: true, Header: with("Content-Type", "application/json"), Body: `{"do":"factor_add","target":"totp","token":"` + form.Get("token") + `"}`},
		"another site":       {From: &other, Header: formHeader, Body: form.Encode()},
		"a frame":            {From: p, Header: with("Sec-Fetch-Dest", "iframe"), Body: form.Encode()},
		"who does not say":   {From: p, Header: with("Sec-Fetch-Dest", "", "Sec-Fetch-Mode", ""), Body: form.Encode()},
		"without the token":  {From: p, Header: formHeader, Body: without.Encode()},
		"another token":      {From: p, Header: formHeader, Body: form.Encode() + "&token=x"},
		"JSON":               {From: p, Header: with("Content-Type", "application/json"), Body: `{}`},
		"an unknown button":  {From: p, Header: formHeader, Body: url.Values{"token": form["token"], "do": {"become_root"}}.Encode()},
		"a kind that is not": {From: p, Header: formHeader, Body: url.Values{"token": form["token"], "do": {"factor_add"}, "target": {"corp"}}.Encode()},
	} {
		t.Run(name, func(t *testing.T) {
			r.Method, r.URL = http.MethodPost, h.g.url(accountPath)
			q := h.g.send(h.b, r)
			if q.Status < 400 && !(name == "a kind that is not" && q.Header.Get("Location") == h.g.url(accountPath)) || q.Has("one-time-code") {
				t.Fatalf("got %d, %s\n%s", q.Status, q.Header.Get("Location"), q.Text())
			}
		})
	}
}

// A run that changes something is continued in navigations only, and by the session
// that began it: no script reads its pages or answers them (I12).
func TestI12AccountNoScriptSeesOrAnswersARun(t *testing.T) {
	h := withFactor(t, factorFlow)
	ask := press(t, h.account(t, h.b), "factor_add", "totp")
	fields := ask.Forms()[0].Fields
	script := func(what string, r browser.Request) {
		t.Helper()
		r.From, r.Script, r.Header = ask, true, http.Header{"Accept": {"application/json"}}
		if r.Body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if q := h.g.send(h.b, r); q.Status != http.StatusForbidden {
			t.Fatalf("%s: want 403, got %d\n%s", what, q.Status, q.Body)
		}
	}
	script("reading the page that asks", browser.Request{URL: ask.URL})
	fields.Set("code", h.code(t))
	script("answering it", browser.Request{Method: http.MethodPost, URL: ask.URL, Body: fields.Encode()})
	set := fill(t, ask, "code", fields.Get("code"))
	if manualKey.FindStringSubmatch(set.Body) == nil {
		t.Fatalf("want the page that sets up an app, got %d\n%s", set.Status, set.Text())
	}
	ask = set
	script("reading the secret", browser.Request{URL: set.URL})
	thief := newBrowser(t)
	for _, c := range h.b.Jar.Cookies(set.URL) {
		if c.Name != ticketOf(t, h.g, h.b).Name { // all but the session
			u, err := url.Parse(set.URL)
			if err != nil {
				t.Fatal(err)
			}
			thief.Jar.Set(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
		}
	}
	if q := h.g.open(thief, set.URL); manualKey.MatchString(q.Body) {
		t.Fatal("a browser without the session sees the secret")
	}
}

// Also in a login, nothing is set up by a script of the application (I12).
func TestI12NoScriptEnrols(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	g := start(t, asked(t, "idp", op)+factorFlow, factorSite)
	mfaUser(op, "pwd", "mfa")
	b := newBrowser(t)
	p := g.open(b, g.url("/a"))
	f := p.Forms()[0]
	m := manualKey.FindStringSubmatch(p.Body)
	f.Fields.Set("code", code(t, strings.ReplaceAll(m[1], " ", ""), clock))
	q := g.send(b, browser.Request{Method: http.MethodPost, URL: f.Action, From: p, Script: true, Header: formHeader, Body: f.Fields.Encode()})
	if q.Status != http.StatusForbidden || g.count("factor_added") != 0 {
		t.Fatalf("want 403, got %d\n%s", q.Status, q.Body)
	}
}
