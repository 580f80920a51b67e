package module_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

// phones are two local accounts, and how codes reach them.
func phones(t testing.TB) string {
	return fmt.Sprintf("provider corp local {\nuser alice %s {\nemail alice@example.test\nphone \"+41 79 000 00 01\"\n}\nuser bob %s {\n}\n}\n", hashOf(t, "alicepw"), hashOf(t, "bobpw")) +
		"messenger mail box\nmessenger sms box\nfactor email {\nmessenger mail\n}\nfactor sms {\nmessenger sms\n}\n"
}

func flowOf(mfa string) string { return "flow staff {\nlogin corp\n" + mfa + "\n}\n" }

const codeSite = "protect staff {\nheader X-Key {user.key}\nheader X-AMR {auth.amr}\n}\nreverse_proxy {APP}"

// password gives alice's and answers the page behind it.
func (g *gateway) password(t *testing.T, path string) *browser.Page {
	t.Helper()
	return g.signIn(newBrowser(t), path, "alice", "alicepw")
}

func TestB26CodeByMailWalk(t *testing.T) {
	newClock(t)
	got := mailbox(t, nil)
	g := start(t, phones(t)+flowOf("mfa email"), codeSite)
	p := g.password(t, "/a")
	if !p.Has("a•••@example.test") || p.Has("alice@example.test") || !p.Has("Send a new code") {
		t.Fatalf("want the page of a code\n%s", p.Text())
	}
	m := got("code", 1)[0]
	code := m.Secret["code"]
	if m.To != "alice@example.test" || len(code) != 6 || !strings.HasPrefix(m.Text, code+" is your code for 127.0.0.1") || strings.Contains(m.Subject, code) {
		t.Fatalf("the letter: %+v", m)
	}
	p = fill(t, p, "code", bentCode(code))
	if p.Status != http.StatusUnauthorized {
		t.Fatalf("a wrong code: %d", p.Status)
	}
	p = fill(t, p, "code", code[:3]+" "+code[3:])
	landed(t, p, "/a", "corp:alice")
	if amr := fmt.Sprint(header(p.Body, "X-AMR")); !strings.Contains(amr, "otp") || !strings.Contains(amr, "mfa") {
		t.Errorf("amr is %s", amr)
	}
	if len(got("code", 1)) != 1 {
		t.Error("more than one letter")
	}
}

// bentCode is another code.
func bentCode(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

func TestB26CodesOfAllKinds(t *testing.T) {
	clock, got := newClock(t), mailbox(t, nil)
	g := start(t, phones(t)+flowOf("mfa email sms"), codeSite)
	t.Run("by text message", func(t *testing.T) {
		p := fill(t, g.password(t, "/a"), "factor", "sms")
		if !p.Has("•••01") {
			t.Fatalf("want the page of a text message\n%s", p.Text())
		}
		m := got("code_sms", 1)[0]
		if m.To != "+41790000001" || len(m.Text) > 160 {
			t.Errorf("the message: %+v", m)
		}
		p = fill(t, p, "code", m.Secret["code"])
		landed(t, p, "/a", "corp:alice")
		if amr := fmt.Sprint(header(p.Body, "X-AMR")); !strings.Contains(amr, "sms") {
			t.Errorf("amr is %s", amr)
		}
	})
	t.Run("nobody's address", func(t *testing.T) {
		if p := g.signIn(newBrowser(t), "/a", "bob", "bobpw"); p.Status != http.StatusForbidden || !p.Has("not_enrolled") && !p.Has("second factor") {
			t.Errorf("bob has no address: %d\n%s", p.Status, p.Text())
		}
	})
	clock.Advance(time.Hour)
	t.Run("again", func(t *testing.T) {
		p := g.password(t, "/a")
		n := len(got("code", 1))
		old := got("code", n)[n-1].Secret["code"]
		if p = fill(t, p, "resend", "1"); p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") != "30" {
			t.Fatalf("at once: %d, %s", p.Status, p.Header.Get("Retry-After"))
		}
		clock.Advance(30 * time.Second)
		p = fill(t, p, "resend", "1")
		fresh := got("code", n+1)[n].Secret["code"]
		if p.Status != http.StatusOK {
			t.Fatalf("after half a minute: %d\n%s", p.Status, p.Text())
		}
		if old != fresh {
			if p = fill(t, p, "code", old); p.Status != http.StatusUnauthorized {
				t.Fatalf("the old code: %d", p.Status)
			}
		}
		landed(t, fill(t, p, "code", fresh), "/a", "corp:alice")
	})
	clock.Advance(time.Hour)
	t.Run("late", func(t *testing.T) {
		p := g.password(t, "/a")
		n := len(got("code", 1))
		clock.Advance(5 * time.Minute)
		if p = fill(t, p, "code", got("code", n)[n-1].Secret["code"]); p.Status != http.StatusUnauthorized || !p.Has("no longer be used") {
			t.Fatalf("after five minutes: %d\n%s", p.Status, p.Text())
		}
	})
}

// What cannot be sent says so, beside the other ways; showing the page sends nothing.
func TestB26ACodeThatCannotBeSent(t *testing.T) {
	clock := newClock(t)
	broken := true
	got := mailbox(t, func(m flows.Message) error {
		if m.Kind == "code" && broken {
			return errors.New("no such mailbox")
		}
		return nil
	})
	g := start(t, phones(t)+flowOf("mfa email sms"), codeSite)
	p := g.password(t, "/a")
	if p.Status != http.StatusOK || !p.Has("could not be sent") || p.Has(`autocomplete="one-time-code"`) || !p.Has("sent to your phone") {
		t.Fatalf("want a page that says so: %d\n%s", p.Status, p.Body)
	}
	clock.Advance(time.Minute)
	broken = false
	p = fill(t, p, "resend", "1")
	landed(t, fill(t, p, "code", got("code", 1)[0].Secret["code"]), "/a", "corp:alice")
}

func TestM02GuessesOfCodesInParallel(t *testing.T) {
	clock, got := newClock(t), mailbox(t, nil)
	g := start(t, phones(t)+flowOf("mfa email"), codeSite)
	const sessions, each = 20, 10
	pages := make([]*browser.Page, sessions)
	for i := range pages {
		pages[i] = g.password(t, "/a")
	}
	code := got("code", 1)[0].Secret["code"]
	if n := len(got("code", 1)); n != 1 {
		t.Errorf("%d letters within a second", n)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	judged := 0
	for _, p := range pages {
		if !p.Has("one-time-code") {
			p = pages[0] // another tab of the one that has a code
		}
		twin := *p
		twin.Browser = p.Browser.Twin()
		wg.Go(func() {
			for range each {
				q, err := twin.Fill("code", bentCode(code))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				switch q.Status {
				case http.StatusUnauthorized:
					judged++
				case http.StatusTooManyRequests, http.StatusOK, http.StatusServiceUnavailable, http.StatusConflict:
				default:
					t.Errorf("got %d at %s", q.Status, q.URL)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if judged > flows.LimitFactor.Free+1 {
		t.Fatalf("%d of %d guesses were judged; at most %d may be", judged, sessions*each, flows.LimitFactor.Free+1)
	}
	clock.Advance(20 * time.Minute)
	p := g.password(t, "/a")
	n := len(got("code", 2))
	landed(t, fill(t, p, "code", got("code", n)[n-1].Secret["code"]), "/a", "corp:alice")
}

// M03: a code is good for the run it was sent for, and in no other.
func TestM03ACodeBelongsToItsRun(t *testing.T) {
	clock, got := newClock(t), mailbox(t, nil)
	g := start(t, phones(t)+flowOf("mfa email"), codeSite)
	one := g.password(t, "/a")
	clock.Advance(time.Minute)
	two := g.password(t, "/b")
	letters := got("code", 2)
	a, b := letters[0].Secret["code"], letters[1].Secret["code"]
	if a == b {
		return // once in a million there is nothing to tell apart
	}
	if p := fill(t, two, "code", a); p.Status != http.StatusUnauthorized {
		t.Fatalf("the code of another run: %d", p.Status)
	}
	landed(t, fill(t, one, "code", a), "/a", "corp:alice")
}

// People whose provider knows a password only set up an app after a code that reached
// the address somebody vouches for, and are told of it.
func TestI07ACodeIsProofBeyondThePassword(t *testing.T) {
	for name, mfa := range map[string]string{"require": "mfa totp recovery", "allow": "mfa totp recovery {\nenroll allow\n}"} {
		t.Run(name, func(t *testing.T) {
			clock, got := newClock(t), mailbox(t, nil)
			g := start(t, "factor totp\nfactor recovery\n"+phones(t)+flowOf(mfa), codeSite)
			p := g.password(t, "/a")
			if name == "allow" {
				if !p.Has("Not now") {
					t.Fatalf("want an offer\n%s", p.Text())
				}
				p = fill(t, p, "factor", "totp")
			}
			if manualKey.MatchString(p.Body) || !p.Has("show that it is you") || !p.Has("a•••@example.test") {
				t.Fatalf("want a proof first, got %d\n%s", p.Status, p.Text())
			}
			c := got("code", 1)[0].Secret["code"]
			if p = fill(t, p, "code", bentCode(c)); p.Status != http.StatusUnauthorized || manualKey.MatchString(p.Body) {
				t.Fatalf("a wrong code: %d\n%s", p.Status, p.Text())
			}
			p = fill(t, p, "code", c)
			m := manualKey.FindStringSubmatch(p.Body)
			if m == nil {
				t.Fatalf("want the page that sets up an app, got %d\n%s", p.Status, p.Text())
			}
			p = fill(t, fill(t, p, "code", code(t, strings.ReplaceAll(m[1], " ", ""), clock)))
			landed(t, p, "/a", "corp:alice")
			if m := got("factor_added", 2)[0]; m.To != "alice@example.test" {
				t.Errorf("told: %+v", m)
			}
			if p := g.signIn(newBrowser(t), "/a", "bob", "bobpw"); name == "require" && p.Status != http.StatusForbidden {
				t.Errorf("bob, who has no address: %d\n%s", p.Status, p.Text())
			}
		})
	}
}

// An address that nobody vouches for proves nothing (I06, I07).
func TestI07OnlyAVouchedAddressProves(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"not verified": {"email_verified": false, "phone_number_verified": false},
		"not said":     {},
	} {
		t.Run(name, func(t *testing.T) {
			op, got := newOP(t), mailbox(t, nil)
			all := map[string]any{"sub": "u-alice", "preferred_username": "alice", "email": "alice@example.test", "phone_number": "+41790000001", "amr": []string{"pwd"}}
			for k, v := range claims {
				all[k] = v
			}
			op.SetUser(all)
			g := start(t, asked(t, "idp", op)+"factor totp\nmessenger mail box\nfactor email {\nmessenger mail\n}\nfactor sms {\nmessenger mail\nto {user.phone_number}\n}\nflow staff {\nlogin idp\nmfa totp\n}\n", codeSite)
			if p := g.open(newBrowser(t), g.url("/a")); p.Status != http.StatusForbidden {
				t.Fatalf("got %d\n%s", p.Status, p.Text())
			}
			op.SetUser(verified(all))
			if p := g.open(newBrowser(t), g.url("/a")); !p.Has("a•••@example.test") {
				t.Fatalf("verified: got %d\n%s", p.Status, p.Text())
			}
			got("code", 1)
		})
	}
}

func verified(claims map[string]any) map[string]any {
	claims["email_verified"] = true
	return claims
}
