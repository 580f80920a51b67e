package module_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// generated is one configuration, some people, and what they send.
type generated struct {
	rng   *rand.Rand
	g     *gateway
	clock *testClock
	// names of the headers that the gateway may send here.
	names []string
}

// The people of every configuration, as the file says and as an operator would write
// them by hand.
var crowd = []struct {
	name, lines string
	attributes  map[string]any
}{
	{"ann", "groups g0 g1\ndept d1\nlevel 3", map[string]any{"groups": []string{"g0", "g1"}, "dept": "d1", "level": "3"}},
	{"ben", "email ben@example.test\ngroups g1\ndept d2", map[string]any{"email": "ben@example.test", "groups": []string{"g1"}, "dept": "d2"}},
	{"cat", "display_name \"Cat, the Ä\"\ngroups \"a,b\" g2", map[string]any{"display_name": "Cat, the Ä", "groups": []string{"a,b", "g2"}}},
}

func one[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// Conditions of requests: some hold, some do not, some fail, some are about time.
func (n *generated) condition() string {
	return one(
		n.rng,
		`"g0" in user.groups`, `"g1" in user.groups`, `user.dept == "d1"`, `user.dept == "d1" || "g1" in user.groups`,
		`has(user.dept) && user.dept.startsWith("d")`, `user.level > 2`, `auth.age < duration("10m")`, `session.age < duration("20m")`,
		`request.method == "GET"`, `request.query["a"] == "1"`, `request.json.amount < 5.0`, `request.form["x"] == "1"`,
		`request.header["x-test"] == "1"`, `policy.p0`, `!policy.p1`, `policy.p0 && policy.p1`, `auth.method == "password"`,
		`user.nothing == "x"`, `!has(user.nothing)`, `size(user.groups) > 1`, `request.ip == "127.0.0.1"`, `auth.factor_age["totp"] > duration("1h")`,
		`user.given == "yes"`, `request.path.endsWith("/x")`, `now > timestamp("2020-01-01T00:00:00Z")`, `device.known || user.email == "ben@example.test"`,
	)
}

// static are conditions of a flow: those that mean the same at any request.
func (n *generated) static() string {
	return one(n.rng, `"g0" in user.groups`, `"g1" in user.groups`, `user.dept == "d2"`, `has(user.dept) && user.dept == "d2"`, `policy.p1`, `user.level == "3" || true`, `user.name != "cat"`)
}

func (n *generated) global() string {
	var b strings.Builder
	b.WriteString("provider corp local {\n")
	for _, p := range crowd {
		fmt.Fprintf(&b, "user %s %s {\n%s\n}\n", p.name, hashOf(n.g.t, p.name+"pw"), p.lines)
	}
	b.WriteString("}\nmessenger mail box\nfactor email {\nmessenger mail\n}\nfactor totp\n")
	fmt.Fprintf(&b, "policy p0 `%s`\npolicy p1 `%s`\n", one(n.rng, `"g0" in user.groups`, `user.dept == "d1"`), one(n.rng, `"g1" in user.groups`, `user.level == "3"`))
	b.WriteString("flow staff {\nlogin corp\nset given `\"yes\"`\n")
	for range n.rng.IntN(3) {
		switch n.rng.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "require `%s` \"Not you.\"\n", n.static())
		case 1:
			fmt.Fprintf(&b, "when `%s` {\nmfa email {\nenroll %s\n}\n}\n", n.static(), one(n.rng, "allow", "deny"))
		case 2:
			fmt.Fprintf(&b, "when `%s` {\nset given `\"no\"`\n}\nelse_when p1 {\n}\nelse {\nset given `\"else\"`\n}\n", n.static())
		case 3:
			fmt.Fprintf(&b, "when `%s` {\ndeny \"Go away.\"\n}\n", n.static())
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (n *generated) site() string {
	var b strings.Builder
	n.names = []string{"Remote-User", "Remote-Groups", "Remote-Email", "Remote-Name", "X-Dept", "X-Key", "X-Groups"}
	b.WriteString("protect staff {\nheaders remote_user\nheader X-Dept {user.dept} {\nmissing " + one(n.rng, "omit", "empty", "none") + "\n}\nheader X-Key {user.key}\nheader X-Groups {user.groups} {\nencode " +
		one(n.rng, "auto", "percent", "base64") + "\nmax " + one(n.rng, "5", "200") + "\n}\n")
	for i := range 3 + n.rng.IntN(4) {
		path := one(n.rng, "/a/*", "/b/*", "/c/*", "/d/x")
		switch n.rng.IntN(7) {
		case 0:
			fmt.Fprintf(&b, "public %s\n", path)
		case 1:
			fmt.Fprintf(&b, "optional %s\n", path)
		case 2:
			fmt.Fprintf(&b, "step_up %s `%s` {\nwithin 5m\n}\n", path, n.condition())
		default:
			fmt.Fprintf(&b, "require %s `%s` \"Rule %d.\"\n", path, n.condition(), i)
		}
	}
	b.WriteString("}\nreverse_proxy {APP}")
	return b.String()
}

// sent is a request, for both sides.
type sent struct {
	method, path string
	header       http.Header
	body         string
	c            module.ExplainCase
}

func (n *generated) request() sent {
	s := sent{method: http.MethodGet, header: http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "User-Agent": {"test"}}}
	s.path = one(n.rng, "/a/x", "/a/y", "/b/x", "/b", "/c/z", "/d/x", "/e") + one(n.rng, "", "", "?a=1", "?a=1&a=2", "?a=2")
	if n.rng.IntN(12) == 0 {
		s.path = one(n.rng, "/a//x", "/a/%2e%2e/x", "/b;x=1/y", "/a/x.php/y")
	}
	if n.rng.IntN(2) == 0 {
		s.header = http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}}
	}
	if n.rng.IntN(3) == 0 {
		s.header["X-Test"] = []string{one(n.rng, "1", "2")}
	}
	if n.rng.IntN(6) == 0 {
		s.header["X_dept"] = []string{"forged"}
	}
	switch n.rng.IntN(5) {
	case 0:
		s.method, s.body = http.MethodPost, one(n.rng, `{"amount":3}`, `{"amount":9}`, `{"amount":1,"amount":9}`, `{"Amount":1}`, `[1]`, `{`)
		s.header["Content-Type"] = []string{"application/json"}
		s.c.JSON = json.RawMessage(s.body)
	case 1:
		form := one(n.rng, url.Values{"x": {"1"}}, url.Values{"x": {"1", "2"}}, url.Values{"y": {"1"}})
		s.method, s.body = http.MethodPost, form.Encode()
		s.header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		s.c.Form = map[string]module.Words{}
		for k, v := range form {
			s.c.Form[k] = v
		}
	}
	s.c.URL, s.c.Method, s.c.Headers = n.g.url(s.path), s.method, map[string]module.Words{}
	for k, v := range s.header {
		s.c.Headers[k] = v
	}
	return s
}

// did is what a gateway did with a request.
type did struct {
	decision, reason, rule string
	status                 int
	headers                []string
}

// live sends the request and tells what came of it.
func (n *generated) live(s sent, cookie string) did {
	t := n.g.t
	t.Helper()
	denied := n.g.count("denied")
	n.g.app.forget()
	req, err := http.NewRequest(s.method, n.g.url("/"), strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = s.path
	req.Header = s.header.Clone()
	if cookie != "" {
		req.Header["Cookie"] = []string{cookie}
	}
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	d := did{status: res.StatusCode}
	switch seen := n.g.app.requests(); {
	case len(seen) == 1:
		d.status, d.decision = 0, module.ExplainOpen
		for _, name := range n.names {
			for _, v := range header(seen[0], name) {
				d.headers = append(d.headers, name+": "+v)
			}
		}
		if len(header(seen[0], "X-Key")) > 0 {
			d.decision = module.ExplainAllowed
		}
		slices.Sort(d.headers)
	case res.StatusCode == http.StatusBadRequest && cookie == "": // of a stranger it is no event (I25)
		d.decision, d.reason = module.ExplainDenied, string(flows.ReasonBadPath)
	case res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusBadRequest:
		e := n.g.events("denied", denied+1)[denied]
		d.decision = module.ExplainDenied
		d.reason, _ = e["reason"].(string)
		d.rule, _ = e["rule"].(string)
	case strings.Contains(string(body), "step_up_required"), strings.Contains(res.Header.Get("Location"), "/.identity/flow") && cookie != "" && n.signedIn(cookie):
		d.decision, d.reason = module.ExplainStepUp, string(flows.ReasonStepUpRequired)
	case res.StatusCode == http.StatusUnauthorized && !strings.Contains(string(body), "login_required") && !strings.Contains(string(body), "/.identity/login"):
		d.decision = fmt.Sprintf("%d %s", res.StatusCode, body)
	default:
		d.decision, d.reason = module.ExplainLogin, string(flows.ReasonLoginRequired)
	}
	return d
}

func (n *generated) signedIn(cookie string) bool {
	return n.g.get("/.identity/session", cookie).Status == http.StatusOK
}

// explained is the same by explaining.
func (n *generated) explained(c module.ExplainCase) (did, *module.Explanation) {
	t := n.g.t
	t.Helper()
	e, err := theApp(t).Explain(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d := did{decision: e.Decision, reason: string(e.Reason), rule: e.Rule, status: e.Status}
	if d.decision == module.ExplainStepUp || d.decision == module.ExplainLogin {
		d.rule = ""
	}
	for _, h := range e.Headers {
		if slices.Contains(n.names, h.Name) {
			d.headers = append(d.headers, h.Name+": "+h.Value)
		}
	}
	slices.Sort(d.headers)
	return d, e
}

func same(got, want did) bool {
	if got.status == 0 { // explaining does not say what becomes of a form
		want.status = 0
	}
	return got.decision == want.decision && got.reason == want.reason && got.rule == want.rule && got.status == want.status && slices.Equal(got.headers, want.headers)
}

// signIn has somebody sign in, compares what came of it, and answers their cookie.
func (n *generated) signIn(i int) (cookie, id string) {
	t, p := n.g.t, crowd[i]
	denied := n.g.count("login_denied")
	b := newBrowser(t)
	page := n.g.signIn(b, "/e", p.name, p.name+"pw")
	var was did
	switch {
	case page.Status == http.StatusOK && page.Path() == "/e":
		c := ticketOf(t, n.g, b)
		cookie = c.Name + "=" + c.Value
		logins := n.g.events("login", 1)
		id, _ = logins[len(logins)-1]["session"].(string)
		was.decision = module.ExplainAllowed
	case page.Status == http.StatusOK && page.Has("code"):
		was.decision = module.ExplainFactor
	case page.Status == http.StatusForbidden && n.g.count("denied") > 0 && page.Path() == "/e":
		was.decision = "at the gate"
	default:
		e := n.g.events("login_denied", denied+1)[denied]
		was.decision = module.ExplainDenied
		was.reason, _ = e["reason"].(string)
		was.rule, _ = e["rule"].(string)
	}
	if was.decision == "at the gate" {
		c := ticketOf(t, n.g, b)
		logins := n.g.events("login", 1)
		id, _ = logins[len(logins)-1]["session"].(string)
		return c.Name + "=" + c.Value, id
	}
	got, e := n.explained(module.ExplainCase{URL: n.g.url("/e"), User: &module.ExplainUser{Attributes: n.byHand(i)}})
	if was.decision == module.ExplainFactor && got.decision == was.decision && slices.Equal(e.Factors, []string{"email"}) {
		return "", ""
	}
	if got.decision != was.decision || got.reason != was.reason || was.rule != "" && got.rule != was.rule {
		b, _ := json.Marshal(e)
		t.Errorf("sign-in of %s: live %+v (%d %s), explained %s\n%s", p.name, was, page.Status, page.Text(), b, n.config())
	}
	return cookie, id
}

func (n *generated) byHand(i int) map[string]any {
	out := map[string]any{"name": crowd[i].name}
	for k, v := range crowd[i].attributes {
		out[k] = v
	}
	return out
}

var lastGenerated string

func (n *generated) config() string { return lastGenerated }

// Explaining says what live traffic shows: for generated rules, flows, people, proofs of
// all ages and requests, with conditions that fail among them.
func TestI26ExplainAgreesWithLiveTraffic(t *testing.T) {
	clock := newClock(t)
	mailbox(t, nil)
	n := &generated{rng: rand.New(rand.NewPCG(7, 4)), clock: clock}
	n.g = start(t, people(t), plainSite)
	compared, decisions, reasons := 0, map[string]int{}, map[string]int{}
	for range 24 {
		global, site := n.global(), n.site()
		lastGenerated = n.g.caddyfile(global, site)
		if err := n.g.load(global, site); err != nil {
			t.Fatalf("%v\n%s", err, lastGenerated)
		}
		for i := range len(crowd) + 1 {
			cookie, id, began := "", "", clock.Now()
			if i < len(crowd) {
				if cookie, id = n.signIn(i); cookie == "" {
					compared++
					continue
				}
			}
			for range 5 {
				if n.rng.IntN(3) == 0 {
					clock.Advance(7 * time.Minute)
				}
				s := n.request()
				if cookie != "" {
					if n.rng.IntN(2) == 0 {
						s.c.Session = id
					} else {
						age := flows.Duration(clock.Now().Sub(began))
						s.c.User, s.c.SessionAge, s.c.Evidence = &module.ExplainUser{Attributes: n.byHand(i)}, age, []module.ExplainEvidence{{Age: age}}
					}
				}
				got, e := n.explained(s.c) // first: it leaves nothing behind
				was := n.live(s, cookie)
				compared++
				decisions[was.decision]++
				reasons[was.reason]++
				if !same(got, was) {
					b, _ := json.Marshal(e)
					t.Errorf("case %d, %s %s %v %q, %+v\nlive      %+v\nexplained %+v\n%s\n%s", compared, s.method, s.path, s.header, s.body, s.c.User, was, got, b, lastGenerated)
					return
				}
			}
		}
	}
	t.Logf("%d cases, %v, %v", compared, decisions, reasons)
	if compared < 100 {
		t.Errorf("only %d cases", compared)
	}
	for _, d := range []string{module.ExplainAllowed, module.ExplainOpen, module.ExplainDenied, module.ExplainLogin, module.ExplainStepUp} {
		if decisions[d] == 0 {
			t.Errorf("no case was %s", d)
		}
	}
	if reasons["condition_error"] == 0 || reasons["header_too_long"] == 0 || reasons["bad_path"] == 0 || reasons["not_allowed"] == 0 {
		t.Errorf("some refusals were never seen: %v", reasons)
	}
}
