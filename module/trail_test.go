package module_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// took waits for n events of a kind in the sink with the switch, since the mark.
func took(t *testing.T, mark int, kind audit.Kind, n int) []audit.Event {
	t.Helper()
	var got []audit.Event
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		got = nil
		sinkSwitch.mu.Lock()
		for _, e := range sinkSwitch.took[mark:] {
			if e.Kind == kind {
				got = append(got, e)
			}
		}
		sinkSwitch.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("%d events %s, want %d", len(got), kind, n)
	return nil
}

func takenSoFar() int {
	sinkSwitch.mu.Lock()
	defer sinkSwitch.mu.Unlock()
	return len(sinkSwitch.took)
}

// submit sends a login's form without following, as submitOnly, from any goroutine.
func submit(t *testing.T, b *browser.Browser, f *browser.Form, name, password string) int {
	f.Fields.Set("username", name)
	f.Fields.Set("password", password)
	p, err := b.Send(browser.Request{
		Method: http.MethodPost, URL: f.Action, Body: f.Fields.Encode(), From: f.Page,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		t.Error(err)
		return 0
	}
	return p.Status
}

// Everything at once while nothing can be written: what grants is refused, what takes
// away goes through, and its entries come when there is room again.
func TestI25WhileTheTrailIsDown(t *testing.T) {
	g := start(t, people(t)+flakyLine+"audit broken\n", "protect {\nrequire /admin/* `\"admins\" in user.groups`\n}\nreverse_proxy {APP}")
	const each = 4
	var all []*browser.Browser
	var pages []*browser.Page
	for range 3 * each {
		b := g.signedIn("/a", "bob", "bobpw")
		all, pages = append(all, b), append(pages, g.open(b, g.url("/a")))
	}
	var tabs []*browser.Browser
	var forms []*browser.Form
	for range each {
		tab := browser.New()
		defer tab.Close()
		f, err := g.open(tab, g.url("/b")).FormWith("username")
		if err != nil {
			t.Fatal(err)
		}
		tabs, forms = append(tabs, tab), append(forms, f)
	}
	_, answer := admin(t, http.MethodGet, "/identity/sessions")
	ofUser, _ := answer["sessions"].([]any)
	if len(ofUser) != 3*each {
		t.Fatalf("%d sessions", len(ofUser))
	}
	mark, mend := takenSoFar(), sinkBreaks(t)

	var wg sync.WaitGroup
	is := func(what string, got, want int) {
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	for i := range each {
		wg.Go(func() { is("login", submit(t, tabs[i], forms[i], "alice", "alicepw"), http.StatusServiceUnavailable) })
		wg.Go(func() {
			p, err := all[i].Send(browser.Request{Method: http.MethodPost, URL: g.url("/.identity/logout"), From: pages[i]})
			if err != nil {
				t.Error(err)
				return
			}
			is("logout", p.Status, http.StatusOK)
		})
		wg.Go(func() {
			p, err := all[each+i].Open(g.url("/admin/x"))
			if err != nil {
				t.Error(err)
				return
			}
			is("denial", p.Status, http.StatusForbidden)
		})
		wg.Go(func() {
			status, _ := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:bob")+"/factors")
			is("reset", status, http.StatusServiceUnavailable)
			status, _ = admin(t, http.MethodDelete, "/identity/names/"+key64("alice"))
			is("release", status, http.StatusServiceUnavailable)
		})
	}
	wg.Wait()
	status, _ := admin(t, http.MethodDelete, "/identity/users/"+key64("corp:bob")+"/sessions")
	is("revocation", status, http.StatusOK)
	for _, b := range all {
		if p := g.open(b, g.url("/a")); !p.Has("password") {
			t.Errorf("signed in behind a revocation: %d %s", p.Status, p.Text())
		}
	}
	if takenSoFar() != mark {
		t.Fatal("the sink is not broken")
	}
	mend()
	took(t, mark, audit.Logout, each)
	took(t, mark, audit.Denied, each)
	took(t, mark, audit.SessionEnded, 2*each)
	for _, kind := range []audit.Kind{audit.Login, audit.FactorsReset} {
		if got := took(t, mark, kind, 0); len(got) > 0 {
			t.Errorf("%s without an entry first: %+v", kind, got)
		}
	}
	g.signedIn("/a", "alice", "alicepw")
}

// A place that says continue keeps nobody out.
func TestI25ContinueLetsPeopleIn(t *testing.T) {
	g := start(t, people(t)+"audit broken {\non_error continue\n}\n", plainSite)
	mark, mend := takenSoFar(), sinkBreaks(t)
	b := g.signedIn("/a", "alice", "alicepw")
	want(t, g.open(b, g.url("/a")), http.StatusOK)
	mend()
	if e := took(t, mark, audit.Login, 1); e[0].User != "corp:alice" {
		t.Errorf("%+v", e)
	}
}

// Personal data is masked for each place by itself, the same person the same way.
func TestMaskedPlaces(t *testing.T) {
	file := scratch(t) + "/masked.jsonl"
	g := start(t, people(t)+"audit broken\naudit file "+file+" {\nmask user name hash\nmask address truncate\nmask attributes drop\n}\n",
		"protect {\nrequire /admin/* `\"admins\" in user.groups`\n}\nreverse_proxy {APP}")
	g.audit = file
	mark := takenSoFar()
	b := g.signedIn("/a", "bob", "bobpw")
	want(t, g.open(b, g.url("/admin/x")), http.StatusForbidden)
	g.signedIn("/a", "alice", "alicepw")
	masked, whole := g.events("login", 2), took(t, mark, audit.Login, 2)
	denied := g.events("denied", 1)[0]
	if masked[0]["user"] == masked[1]["user"] || denied["user"] != masked[0]["user"] || denied["name"] != masked[0]["name"] || denied["name"] == denied["user"] {
		t.Errorf("the same person: %v and %v; another: %v", masked[0], denied, masked[1])
	}
	if b, _ := json.Marshal(append(masked, denied)); strings.Contains(string(b), "bob") || !strings.Contains(string(b), "127.0.0.0/24") || strings.Contains(string(b), "staff") {
		t.Errorf("%s", b)
	}
	if whole[0].User != "corp:bob" || whole[0].IP != "127.0.0.1" || whole[0].Facts == nil || len(whole[0].Masked) > 0 {
		t.Errorf("the other place: %+v", whole[0])
	}
}
