package module_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/messenger/smtp/smtptest"
	"github.com/sallyport-gateway/sallyport/examples/browser"
)

// Every change is told to the person, at the address that is vouched for (B26); what an
// operator does, too, when there is no session to ask.
func TestB26ThePersonIsToldOfEveryChange(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	server := smtptest.New(t, false)
	mail := "messenger mail smtp {\nserver " + server.Addr + "\nfrom noreply@example.com\ntimeout 5s\n}\n"
	g := start(t, asked(t, "idp", op, "scopes openid profile email")+rememberFlow+mail, factorSite)
	h := &holder{g: g, op: op, clock: clock}
	vouched := func(amr ...string) {
		op.SetUser(map[string]any{"sub": "u-alice", "preferred_username": "alice", "email": "alice@example.com", "email_verified": true, "amr": amr})
	}
	vouched("pwd", "mfa")
	p := g.open(newBrowser(t), g.url("/a"))
	h.secret = strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	fill(t, fill(t, p, "code", code(t, h.secret, clock)))
	vouched("pwd")
	h.b = h.signedIn(t)
	g.trusting(t, clock, h.secret)

	change := func(do string) {
		t.Helper()
		p := press(t, h.account(t, h.b), do, "")
		if !p.Has("one-time-code") {
			p = fill(t, p)
		}
		if p = fill(t, p, "code", h.code(t)); do != "erase" && !atAccount(p) {
			t.Fatalf("%s: %d at %s\n%s", do, p.Status, p.URL, p.Text())
		} else if do == "erase" {
			fill(t, p, "serial", p.Forms()[0].Fields.Get("serial"), "sure", "1")
		}
	}
	change("device_remove")
	change("session_end")
	change("sessions_end")
	change("erase")
	vouched("pwd", "mfa")
	clock.Advance(time.Minute)
	p = g.open(newBrowser(t), g.url("/a"))
	h.secret = strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	fill(t, fill(t, p, "code", code(t, h.secret, clock)))
	h.b = h.signedIn(t)
	h.account(t, h.b)
	change("factor_remove")
	p = g.open(newBrowser(t), g.url("/a"))
	h.secret = strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	fill(t, fill(t, p, "code", code(t, h.secret, clock)))
	if status, out := admin(t, http.MethodDelete, "/identity/users/"+key64("idp:u-alice")+"/factors"); status != http.StatusOK {
		t.Fatal(status, out)
	}

	subjects := []string{
		"A second factor was added", "A browser is not asked for your second factor", "A browser is asked for your second factor again",
		"You were signed out in a browser", "You were signed out everywhere else", "was erased", "A second factor was removed", "Your second factors were reset",
	}
	missing := func() []string {
		return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
			return slices.ContainsFunc(server.Letters(), func(l smtptest.Letter) bool {
				return l.To == "alice@example.com" && strings.Contains(l.Header.Get("Subject"), s)
			})
		})
	}
	until(t, "all letters came", func() bool { return len(missing()) == 0 })
	for _, l := range server.Letters() {
		if strings.Contains(l.Text, h.secret) || strings.Contains(l.Text, "{") {
			t.Errorf("a letter: %s", l.Text)
		}
	}
}

// The account page is the portal's, for all hosts.
func TestAccountOnThePortal(t *testing.T) {
	tn := newTown(t, "")
	b := newBrowser(t)
	landed(t, tn.open(b, tn.on("one", "/a")), "/a", "")
	p := tn.open(b, tn.on("one", accountPath))
	if !atAccount(p) || !strings.HasPrefix(p.URL, tn.on("auth", "/")) || !p.Has(strings.TrimPrefix(tn.on("one", ""), "http://")) {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	token := p.Forms()[0].Fields.Get("token")
	q := tn.send(b, browser.Request{Method: http.MethodPost, URL: tn.on("one", accountPath), From: p, Header: formHeader, Body: "do=erase&target=&token=" + token})
	if q.Header.Get("Location") != tn.on("auth", accountPath) {
		t.Fatalf("a form to an application's host: %d %s", q.Status, q.Header.Get("Location"))
	}
	// Nobody is signed in: the login leads back to the page.
	if p = tn.open(newBrowser(t), tn.on("two", accountPath)); !atAccount(p) || !strings.HasPrefix(p.URL, tn.on("auth", "/")) {
		t.Fatalf("got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
}

// Who came in by a fallback sees and changes nothing of an account (I23).
func TestI23NoAccountInAFallback(t *testing.T) {
	op := newOP(t)
	mfaUser(op)
	g := start(t, guarded(t, op), guardedSite)
	g.stands(true)
	h := &holder{g: g, op: op, b: newBrowser(t)}
	landed(t, g.open(h.b, g.url("/a")), "/a", "idp:u-alice")
	h.account(t, h.b)
	status, out := admin(t, http.MethodPost, "/identity/drills", `{"provider":"idp","user":"anna.emergency","for":"10m"}`)
	if status != http.StatusOK {
		t.Fatal(status, out)
	}
	b := newBrowser(t)
	p := g.open(b, g.url(out["link"].(string)+"&return_to=/a"))
	landed(t, fill(t, p, "username", "anna.emergency", "password", "annapw"), "/a", "glass:anna.emergency")
	if p = g.open(b, g.url(accountPath)); p.Status != http.StatusForbidden || !p.Has("emergency way") {
		t.Fatalf("got %d\n%s", p.Status, p.Text())
	}
	q := g.send(b, browser.Request{URL: g.url(accountPath), Script: true, Header: http.Header{"Accept": {"application/json"}}})
	if q.Status != http.StatusForbidden || strings.Contains(q.Body, "sessions") {
		t.Fatalf("as JSON: %d %s", q.Status, q.Body)
	}
}

// What steps keep of a person is shown, handed out and erased.
func TestAccountShowsAndErasesWhatStepsKeep(t *testing.T) {
	clock, op := newClock(t), newOP(t)
	flow := "factor totp\nfactor recovery\nflow staff {\nlogin idp\nmfa totp recovery\nconsent terms 3 {\ntitle \"House rules\"\ntext \"Be kind.\"\n}\n}\n"
	g := start(t, asked(t, "idp", op)+flow, factorSite)
	mfaUser(op, "pwd", "mfa")
	h := &holder{g: g, op: op, clock: clock, b: newBrowser(t)}
	p := g.open(h.b, g.url("/a"))
	h.secret = strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	p = fill(t, fill(t, p, "code", code(t, h.secret, clock)))
	if !p.Has("Be kind.") {
		t.Fatalf("want the terms, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	landed(t, fill(t, p, "answer", "agree"), "/a", "idp:u-alice")
	p = fill(t, g.open(h.b, g.url(accountPath)), "code", h.code(t))
	if !atAccount(p) || !p.Has("House rules") {
		t.Fatalf("the page does not show the consent: %d\n%s", p.Status, p.Text())
	}
	q := g.send(h.b, browser.Request{URL: g.url(accountPath), Script: true, Header: http.Header{"Accept": {"application/json"}}})
	var m map[string]any
	if err := json.Unmarshal([]byte(q.Body), &m); err != nil || !strings.Contains(fmt.Sprint(m["kept"]), "terms") {
		t.Fatalf("as JSON: %v %s", err, q.Body)
	}
	p = fill(t, fill(t, press(t, p, "erase", "")), "code", h.code(t))
	fill(t, p, "serial", p.Forms()[0].Fields.Get("serial"), "sure", "1")
	p = g.open(newBrowser(t), g.url("/a"))
	again := strings.ReplaceAll(manualKey.FindStringSubmatch(p.Body)[1], " ", "")
	if p = fill(t, fill(t, p, "code", code(t, again, clock))); !p.Has("Be kind.") {
		t.Fatalf("the consent is still kept: %d at %s\n%s", p.Status, p.URL, p.Text())
	}
}
