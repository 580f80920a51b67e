package module_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/flows"
)

const jsonType = "application/json"

const transferBody = `{"amount": 950.00, "payee":"Bob", "note":"rent"}`

// asks sends a request by script and answers the id of the approval it is told of.
func (c *customer) asks(path, typ, body string, header ...string) string {
	c.t.Helper()
	p, m := c.fetch(c.b, http.MethodPost, path, typ, body, header...)
	id, _ := m["approval"].(string)
	if p.Status != http.StatusUnauthorized || m["error"] != "step_up_required" || id == "" || len(p.Header["Set-Cookie"]) > 0 {
		c.t.Fatalf("want 401 step_up_required with an approval, got %d %s", p.Status, p.Body)
	}
	return id
}

// approves goes through the flow of an approval and answers the page it ends at.
func (c *customer) approves(id string) *browser.Page {
	c.t.Helper()
	c.later()
	p := c.open(c.b, c.url("/.identity/step-up?approval="+id))
	asksCode(c.t, p)
	p = fill(c.t, p, "code", c.code())
	want(c.t, p, http.StatusOK)
	return p
}

func (c *customer) state(id string) string {
	c.t.Helper()
	_, m := c.fetch(c.b, http.MethodGet, "/.identity/approval?id="+id, "", "")
	s, _ := m["state"].(string)
	return s
}

// refused sends a request by script and fails unless it is refused for a reason.
func (c *customer) refused(reason string, status int, method, path, typ, body string, header ...string) {
	c.t.Helper()
	p, m := c.fetch(c.b, method, path, typ, body, header...)
	if p.Status != status || m["reason"] != reason {
		c.t.Fatalf("want %d %s, got %d %s", status, reason, p.Status, p.Body)
	}
}

// sends re-sends a request with its approval.
func (c *customer) sends(id, path, typ, body string) *browser.Page {
	c.t.Helper()
	p, _ := c.fetch(c.b, http.MethodPost, path, typ, body, "Sallyport-Approval", id)
	return p
}

func TestI20TwoTransfersTwoApprovals(t *testing.T) {
	c := newCustomer(t, bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	if c.asks("/transfer", jsonType, transferBody) != id {
		t.Error("the same request, not approved yet, is asked for twice")
	}
	if s := c.state(id); s != "asked" {
		t.Fatalf("state is %q", s)
	}
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusUnauthorized {
		t.Fatalf("sent before it was approved: %d", p.Status)
	}
	c.later()
	p := c.open(c.b, c.url("/.identity/step-up?approval="+id))
	for _, text := range []string{"950.00", "Bob", "payee", "POST"} {
		if !strings.Contains(p.Text(), text) {
			t.Errorf("the page does not show %q: %s", text, p.Text())
		}
	}
	p = fill(t, p, "code", c.code())
	if p.Status != http.StatusOK || !p.Has("Confirmed") || c.state(id) != "approved" || c.got("/transfer") != 0 {
		t.Fatalf("want the page that says that it is confirmed and nothing sent, got %d at %s\n%s", p.Status, p.URL, p.Text())
	}
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusOK {
		t.Fatalf("want 200, got %d\n%s", p.Status, p.Body)
	}
	if c.state(id) != "used" || c.got("/transfer") != 1 {
		t.Fatalf("state is %q, the application got %d", c.state(id), c.got("/transfer"))
	}
	sent := c.app.requests()[len(c.app.requests())-1]
	if !strings.HasSuffix(sent, transferBody) || len(header(sent, "Sallyport-Approval")) > 0 || len(header(sent, "X-Key")) != 1 {
		t.Fatalf("the application got\n%s", sent)
	}
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusUnauthorized {
		t.Fatalf("used twice: %d", p.Status)
	}
	second := c.asks("/transfer", jsonType, transferBody)
	if second == id {
		t.Fatal("a second transfer has the approval of the first")
	}
	c.approves(second)
	if p := c.sends(second, "/transfer", jsonType, transferBody); p.Status != http.StatusOK || c.got("/transfer") != 2 {
		t.Fatalf("the second transfer: %d", p.Status)
	}
	if e := c.events("approval_used", 2)[0]; e["approval"] != id || !strings.Contains(fmt.Sprint(e["show"]), "950.00") || e["rule"] == "" {
		t.Errorf("the trail says %v", e)
	}
	if e := c.events("step_up", 2)[0]; e["approval"] != id || !strings.Contains(fmt.Sprint(e["show"]), "Bob") {
		t.Errorf("the trail says %v", e)
	}
}

func TestI20AChangedRequestIsRefused(t *testing.T) {
	c := newCustomer(t, bankSite)
	approved := func() string {
		c.t.Helper()
		id := c.asks("/transfer?x=1", jsonType, transferBody)
		c.approves(id)
		return id
	}
	for _, tc := range []struct{ name, path, typ, body string }{
		{"body", "/transfer?x=1", jsonType, strings.Replace(transferBody, "950", "9500", 1)},
		{"a blank", "/transfer?x=1", jsonType, transferBody + " "},
		{"query", "/transfer?x=2", jsonType, transferBody},
		{"path", "/transfer/?x=1", jsonType, transferBody},
		{"content type", "/transfer?x=1", jsonType + "; charset=utf-8", transferBody},
	} {
		id := approved()
		p, m := c.fetch(c.b, http.MethodPost, tc.path, tc.typ, tc.body, "Sallyport-Approval", id)
		if p.Status != http.StatusUnauthorized || m["reason"] != "request_changed" || m["approval"] == id {
			t.Errorf("%s: want 401 request_changed with another approval, got %d %s", tc.name, p.Status, p.Body)
		}
		if p := c.sends(id, "/transfer?x=1", jsonType, transferBody); p.Status == http.StatusOK {
			t.Errorf("%s: the approval was good after it was shown with another request", tc.name)
		}
	}
	if len(c.app.requests()) != 0 {
		t.Fatalf("forwarded: %q", c.app.requests())
	}
}

// A client whose bytes are never the same ends, instead of asking for ever.
func TestI20AThirdMismatchIsTheLast(t *testing.T) {
	c := newCustomer(t, bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	for i := range 2 {
		c.approves(id)
		p, m := c.fetch(c.b, http.MethodPost, "/transfer", jsonType, transferBody+strings.Repeat(" ", i+1), "Sallyport-Approval", id)
		if p.Status != http.StatusUnauthorized {
			t.Fatalf("mismatch %d: %d %s", i+1, p.Status, p.Body)
		}
		id, _ = m["approval"].(string)
	}
	c.approves(id)
	c.refused("request_changed", http.StatusForbidden, http.MethodPost, "/transfer", jsonType, transferBody+"   ", "Sallyport-Approval", id)
	if len(c.app.requests()) != 0 {
		t.Fatal("forwarded")
	}
}

func TestI20AStolenApprovalIsRefused(t *testing.T) {
	c := newCustomer(t, bankSite)
	mallory, _ := c.signIn() // even another session of the same person
	id := c.asks("/transfer", jsonType, transferBody)
	want(t, c.open(mallory, c.url("/.identity/step-up?approval="+id)), http.StatusForbidden)
	c.approves(id)
	for _, b := range []*browser.Browser{mallory, newBrowser(t)} {
		p, m := c.fetch(b, http.MethodPost, "/transfer", jsonType, transferBody, "Sallyport-Approval", id)
		if p.Status != http.StatusUnauthorized || m["approval"] == id {
			t.Fatalf("want 401, got %d %s", p.Status, p.Body)
		}
		if p, _ := c.fetch(b, http.MethodGet, "/.identity/approval?id="+id, "", ""); p.Status < 400 || strings.Contains(p.Body, "approved") {
			t.Fatalf("another browser hears of it: %d %s", p.Status, p.Body)
		}
	}
	if p := c.send(c.b, browser.Request{URL: c.url("/.identity/approval?id=" + id), Script: true, Header: http.Header{"Sec-Fetch-Site": {"cross-site"}}}); p.Status != http.StatusForbidden {
		t.Fatalf("another site hears of it: %d %s", p.Status, p.Body)
	}
	if c.got("/transfer") != 0 {
		t.Fatal("forwarded")
	}
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusOK {
		t.Fatalf("whose it is may use it: %d %s", p.Status, p.Body)
	}
}

func TestI20WhatCannotBeShownBeyondDoubtIsRefused(t *testing.T) {
	c := newCustomer(t, bankSite)
	const form = "application/x-www-form-urlencoded"
	for _, tc := range []struct{ name, path, typ, body string }{
		{"missing", "/transfer", jsonType, `{"amount":1}`},
		{"twice in a form", "/transfer", form, "amount=1&payee=x&amount=2"},
		{"in query and body", "/transfer?amount=1", form, "amount=1&payee=x"},
		{"twice in JSON", "/transfer", jsonType, `{"amount":1,"payee":"x","amount":2}`},
		{"twice deep in JSON", "/transfer", jsonType, `{"amount":1,"payee":"x","a":{"b":1,"b":2}}`},
		{"twice by an escape", "/transfer", jsonType, `{"amount":1,"payee":"x","\u0061mount":2}`},
		{"another case beside it", "/transfer", jsonType, `{"amount":1,"payee":"x","Amount":2}`},
		{"another case only", "/transfer", jsonType, `{"Amount":1,"payee":"x"}`},
		{"a sign that folds to it", "/transfer", jsonType, "{\"amount\":1,\"payee\":\"x\",\"PAYEE\":\"y\"}"},
		{"another case in a form", "/transfer", form, "amount=1&payee=x&AMOUNT=2"},
		{"a list of the name", "/transfer", form, "amount=1&payee=x&amount[]=2"},
		{"a blank before the name", "/transfer", form, "amount=1&payee=x&+amount=2"},
		{"a semicolon", "/transfer", form, "amount=1&payee=x;amount=2"},
		{"an object", "/transfer", jsonType, `{"amount":{"v":1},"payee":"x"}`},
		{"null", "/transfer", jsonType, `{"amount":null,"payee":"x"}`},
		{"behind the JSON", "/transfer", jsonType, `{"amount":1,"payee":"x"}{"amount":2}`},
		{"no UTF-8", "/transfer", jsonType, "{\"amount\":1,\"payee\":\"\xff\"}"},
		{"text that turns", "/transfer", jsonType, "{\"amount\":1,\"payee\":\"a\u202eb\"}"},
		{"another charset", "/transfer", jsonType + "; charset=utf-7", `{"amount":1,"payee":"x"}`},
		{"neither form nor JSON", "/transfer?amount=1&payee=x", "text/plain", `{"amount":2}`},
		{"a list", "/transfer", jsonType, `[{"amount":1,"payee":"x"}]`},
	} {
		p, m := c.fetch(c.b, http.MethodPost, tc.path, tc.typ, tc.body)
		if p.Status != http.StatusForbidden || m["reason"] != "unclear_fields" {
			t.Errorf("%s: want 403 unclear_fields, got %d %s", tc.name, p.Status, p.Body)
		}
	}
	c.asks("/transfer?payee=x", form, "amount=1") // over query and body
	if len(c.app.requests()) != 0 {
		t.Fatal("forwarded")
	}
}

func TestI20WhatMayMeanSomethingElseIsRefused(t *testing.T) {
	c := newCustomer(t, bankSite)
	good := func(reason string, header ...string) {
		t.Helper()
		c.refused(reason, http.StatusForbidden, http.MethodPost, "/transfer", jsonType, transferBody, header...)
	}
	good("not_approvable", "X-Http-Method-Override", "DELETE")
	good("not_approvable", "X-Http-Method", "PUT")
	good("not_approvable", "X-Method-Override", "PUT")
	good("not_approvable", "Content-Encoding", "gzip")
	good("not_approvable", "Content-Encoding", "identity", "Content-Encoding", "br")
	good("not_approvable", "Upgrade", "websocket", "Connection", "Upgrade")
	c.refused("not_approvable", 403, http.MethodPost, "/transfer", "application/x-www-form-urlencoded", "amount=1&payee=x&_method=PUT")
	c.refused("not_approvable", 403, http.MethodPost, "/transfer?_method=PUT", jsonType, transferBody)
	c.refused("not_approvable", 403, http.MethodPost, "/transfer", jsonType, `{"amount":1,"payee":"x","_METHOD":"PUT"}`)
	c.refused("once_needs_stable_body", 403, http.MethodPost, "/transfer", "multipart/form-data; boundary=x", "--x--")
	c.refused("too_large", http.StatusRequestEntityTooLarge, http.MethodPost, "/transfer", jsonType, `{"amount":1,"payee":"x","n":"`+strings.Repeat("a", 256<<10)+`"}`)
	if len(c.app.requests()) != 0 {
		t.Fatalf("forwarded: %q", c.app.requests())
	}
}

func TestI20ParallelUsesForwardOne(t *testing.T) {
	c := newCustomer(t, bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	c.approves(id)
	cookie := ticketOf(t, c.gateway, c.b)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var codes []int
	for range 20 {
		wg.Go(func() {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url("/transfer"), strings.NewReader(transferBody))
			r.Header = http.Header{"Content-Type": {jsonType}, "Sallyport-Approval": {id}, "Cookie": {cookie.Name + "=" + cookie.Value}}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			mu.Lock()
			codes = append(codes, res.StatusCode)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(codes)
	if c.got("/transfer") != 1 || len(codes) != 20 || codes[0] != http.StatusOK || codes[1] == http.StatusOK {
		t.Fatalf("forwarded %d times, answers %v", c.got("/transfer"), codes)
	}
}

// At most once, also when the application fails.
func TestI20AFailingApplicationUsesItUp(t *testing.T) {
	c := newCustomer(t, bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	c.approves(id)
	c.app.set(func(string) string {
		return "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	})
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusInternalServerError {
		t.Fatalf("got %d", p.Status)
	}
	c.app.set(nil)
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusUnauthorized || c.got("/transfer") != 1 {
		t.Fatalf("sent a second time: %d, %d", p.Status, c.got("/transfer"))
	}
}

// A page's own request is its approval's name: the browser comes back to it.
func TestI20ANavigationComesBackApproved(t *testing.T) {
	c := newCustomer(t, bankSite)
	for i := range 2 {
		c.later()
		p := c.open(c.b, c.url("/download"))
		asksCode(t, p)
		landed(t, fill(t, p, "code", c.code()), "/download", "idp:u-alice")
		if c.got("/download") != i+1 {
			t.Fatalf("forwarded %d times", c.got("/download"))
		}
	}
	other, _ := c.signIn()
	asksCode(t, c.open(other, c.url("/download")))
}

func TestI20AnApprovalEnds(t *testing.T) {
	c := newCustomer(t, bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	c.approves(id)
	c.clock.Advance(10 * time.Minute)
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusUnauthorized || c.got("/transfer") != 0 {
		t.Fatalf("good for longer than ten minutes: %d", p.Status)
	}
}

// More than a few waiting approvals are nobody's work.
func TestI20AsksAreBounded(t *testing.T) {
	c := newCustomer(t, bankSite)
	for i := range 20 {
		c.asks("/transfer", jsonType, fmt.Sprintf(`{"amount":%d,"payee":"x"}`, i))
	}
	c.refused("too_many_tries", http.StatusTooManyRequests, http.MethodPost, "/transfer", jsonType, `{"amount":99,"payee":"x"}`)
	c.clock.Advance(11 * time.Minute)
	c.asks("/transfer", jsonType, `{"amount":99,"payee":"x"}`)
}

// Nothing is forwarded while the store cannot be asked (I16), or without an entry in
// the trail (I25).
func TestI25AnApprovalIsNotUsedWithoutStoreOrTrail(t *testing.T) {
	c := newCustomerOf(t, flakyLine+"audit broken\n", bankSite)
	id := c.asks("/transfer", jsonType, transferBody)
	up := storeDown(t)
	if p, _ := c.fetch(c.b, http.MethodPost, "/transfer", jsonType, `{"amount":1,"payee":"x"}`); p.Status != http.StatusServiceUnavailable {
		t.Fatalf("asked without a store: %d %s", p.Status, p.Body)
	}
	up()
	c.later()
	p := c.open(c.b, c.url("/.identity/step-up?approval="+id))
	asksCode(t, p)
	mend := sinkBreaks(t)
	if p = fill(t, p, "code", c.code()); p.Status != http.StatusServiceUnavailable || c.state(id) != "asked" {
		t.Fatalf("approved without a trail: %d at %s, %s", p.Status, p.URL, c.state(id))
	}
	mend()
	c.approves(id)
	up = storeDown(t)
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusServiceUnavailable {
		t.Fatalf("used without a store: %d %s", p.Status, p.Body)
	}
	up()
	mend = sinkBreaks(t)
	if p := c.sends(id, "/transfer", jsonType, transferBody); p.Status != http.StatusServiceUnavailable {
		t.Fatalf("used without a trail: %d %s", p.Status, p.Body)
	}
	mend()
	if c.got("/transfer") != 0 {
		t.Fatal("forwarded")
	}
}

// A form waits until its transfer is approved, and arrives as it was, once (B09).
func TestI20AFormArrivesAsItWasApproved(t *testing.T) {
	c := newCustomer(t, bankSite)
	body := "amount=950.00&payee=Bob+%26+sons&note=" + strings.Repeat("x%0a", 50<<10)
	for i := range 2 {
		c.later()
		p := c.post(c.page, "/transfer", formType, body)
		asksCode(t, p)
		if !strings.Contains(p.Text(), "950.00") || !strings.Contains(p.Text(), "Bob & sons") || c.got("/transfer") != i {
			t.Fatalf("the page shows %s; %d were forwarded", p.Text(), c.got("/transfer"))
		}
		p = sendsOn(t, fill(t, p, "code", c.code()))
		if p.Status != http.StatusOK || c.got("/transfer") != i+1 {
			t.Fatalf("want it sent, got %d at %s\n%.500s", p.Status, p.URL, p.Text())
		}
		if sent := c.app.requests()[len(c.app.requests())-1]; !strings.HasSuffix(sent, body) || header(sent, "Content-Type")[0] != formType {
			t.Fatalf("other bytes arrived: %.300s", sent)
		}
	}
	if c.count("approval_used") != 2 {
		t.Errorf("the trail has %d uses", c.count("approval_used"))
	}
	t.Run("one for a step_up that binds nothing", func(t *testing.T) {
		c.clock.Advance(6 * time.Minute)
		p := c.post(c.page, "/settings/x", formType, "a=1")
		asksCode(t, p)
		if p = sendsOn(t, fill(t, p, "code", c.code())); p.Status != http.StatusOK || c.got("/settings/x") != 1 {
			t.Fatalf("want it sent, got %d at %s", p.Status, p.URL)
		}
	})
	t.Run("one that cannot be kept is sent again", func(t *testing.T) {
		c.later()
		q := strings.Repeat("y", 2000)
		p := c.post(c.page, "/transfer/x?q="+q, formType, "amount=1&payee=z")
		asksCode(t, p)
		landed(t, fill(t, p, "code", c.code()), "/app", "idp:u-alice")
		if p := c.post(c.page, "/transfer/x?q="+q, formType, "amount=1&payee=z"); p.Status != http.StatusOK || c.got("/transfer/x?q="+q) != 1 {
			t.Fatalf("want it sent, got %d at %s", p.Status, p.URL)
		}
	})
}

// Whoever read an approval before another used it up comes too late in any case.
func TestI20WhoComesSecondIsTooLate(t *testing.T) {
	newCustomer(t, bankSite)
	first, second := theApp(t).MoveTwice(t.Context(), "s")
	if first != nil || flows.ReasonOf(second) != flows.ReasonApprovalGone {
		t.Fatalf("first: %v, second: %v", first, second)
	}
}
