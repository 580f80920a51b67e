package call

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

const secret = "0123456789abcdef0123"

// service answers what a test wants and remembers what it was asked.
type service struct {
	mu     sync.Mutex
	head   http.Header
	body   []byte
	asked  int
	answer func(w http.ResponseWriter, r *http.Request)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.head, s.body = r.Header, body
	s.asked++
	s.mu.Unlock()
	s.answer(w, r)
}

// says answers with JSON.
func says(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

func start(t *testing.T, answer func(http.ResponseWriter, *http.Request), lines string) (*Call, *service) {
	t.Helper()
	s := &service{answer: answer}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	c := new(Call)
	c.ReadBlocksBy(func(d *caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error) { return nil, nil, nil })
	if err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser("call " + srv.URL + "/hook?key=inTheAddress {\nsecret " + secret + "\n" + lines + "\n}")); err != nil {
		t.Fatal(err)
	}
	if err := c.resolve(); err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(flowstest.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func run() *flows.Execution {
	return &flows.Execution{
		ID: "run1", Flow: "staff", User: &flows.User{Key: "corp:1", Name: "anna", Groups: []string{"staff"}, Attributes: map[string]any{"dept": "it"}},
		Request: flows.Request{Host: "app.example.com", IP: "192.0.2.7"}, Evidence: []flows.Evidence{{Method: "password", Provider: "corp", AMR: []string{"pwd"}}},
	}
}

func enter(t *testing.T, c *Call, x *flows.Execution) (flowstest.Seen, error) {
	t.Helper()
	o, err := c.Enter(t.Context(), x)
	return flowstest.Look(o), err
}

func TestCallIsAStep(t *testing.T) {
	t.Parallel()
	c, _ := start(t, says(`{"attributes":{"tier":"gold"},"branch":"vip"}`), "attributes tier\nbranch vip\nbranch other")
	flowstest.TestStep(t, c, run)
	c, _ = start(t, says(`{"deny":"Not today."}`), "")
	flowstest.TestStep(t, c, run)
}

func TestCallSendsWhatIsChosenAndSignsIt(t *testing.T) {
	t.Parallel()
	c, s := start(t, says(`{}`), "send user.name user.groups user.dept user.nothing request.ip auth.amr auth.provider")
	if seen, err := enter(t, c, run()); err != nil || seen.Kind != "take" || seen.Block != -1 {
		t.Fatal(seen, err)
	}
	const data = `"data":{"flow":"staff","run":"run1","user":{"dept":"it","groups":["staff"],"name":"anna"},"request":{"ip":"192.0.2.7"},"auth":{"amr":["pwd"],"provider":"corp"}}`
	if !strings.Contains(string(s.body), data) || !strings.Contains(string(s.body), `"type":"flow.step","timestamp":"2026-03-01T12:00:00Z"`) {
		t.Errorf("it was sent %s", s.body)
	}
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(s.head.Get("webhook-id") + "." + s.head.Get("webhook-timestamp") + "." + string(s.body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); s.head.Get("webhook-signature") != want || s.head.Get("webhook-timestamp") != "1772366400" {
		t.Errorf("%v, want %s", s.head, want)
	}
	// The vector of the Standard Webhooks specification's reference libraries.
	key, err := outbound.WebhookKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	c.keys = [][]byte{key}
	h := http.Header{}
	outbound.SignWebhook(h, [][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got := h.Get("Webhook-Signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signed %s", got)
	}
	// A run that asks again says so; another run does not.
	first := s.head.Get("webhook-id")
	_, _ = enter(t, c, run())
	if s.head.Get("webhook-id") != first {
		t.Error("the same question has another id")
	}
	x := run()
	x.ID = "run2"
	_, _ = enter(t, c, x)
	if s.head.Get("webhook-id") == first {
		t.Error("another question has the same id")
	}
}

func TestCallSendsTheKeyByDefault(t *testing.T) {
	t.Parallel()
	c, s := start(t, says(`{}`), "")
	if _, err := enter(t, c, run()); err != nil || !strings.Contains(string(s.body), `"user":{"key":"corp:1"}`) || strings.Contains(string(s.body), "anna") {
		t.Errorf("%s, %v", s.body, err)
	}
}

func TestCallGives(t *testing.T) {
	t.Parallel()
	c, _ := start(t, says(`{"attributes":{"tier":"gold","seats":3,"beta":true,"teams":["a","b"],"dept":"sales","email":"boss@example.com","more":1}}`), "attributes tier seats beta teams dept")
	x := run()
	if seen, err := enter(t, c, x); err != nil || seen.Kind != "take" {
		t.Fatal(seen, err)
	}
	a := x.User.Attributes
	if a["tier"] != "gold" || a["seats"] != 3.0 || a["beta"] != true || len(a["teams"].([]any)) != 2 || a["dept"] != "it" || a["more"] != nil || x.User.Email != "" {
		t.Errorf("the user is %+v", x.User)
	}
	c.Overwrite = true
	if _, err := enter(t, c, x); err != nil || x.User.Attributes["dept"] != "sales" {
		t.Errorf("overwrite: %v, %v", x.User, err)
	}
}

func TestCallDeniesAndBranches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer, text string
		block        int
		deny         bool
	}{
		{`{"deny":"Your contract ended."}`, "Your contract ended.", 0, true},
		{`{"deny":true,"branch":"nonesuch"}`, "", 0, true},
		{`{"deny":""}`, "", 0, true},
		{`{"deny":false,"branch":"other"}`, "", 1, false},
		{`{"DENY":true}`, "", -1, false},
		{`{"news":{"of":["tomorrow"]}}`, "", -1, false},
	} {
		c, _ := start(t, says(tc.answer), "branch vip\nbranch other")
		seen, err := enter(t, c, run())
		if err != nil || (seen.Kind == "deny") != tc.deny || seen.Denial.Text != tc.text || !tc.deny && seen.Block != tc.block {
			t.Errorf("%s: %+v, %v", tc.answer, seen, err)
		}
	}
}

// What is not an answer to be understood is no answer: nobody gets on by it.
func TestCallRefusesOtherAnswers(t *testing.T) {
	t.Parallel()
	answers := map[string]func(http.ResponseWriter, *http.Request){
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"201": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			says(`{"attributes":{"tier":"a"}}`)(w, r)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"attributes":{"tier":"a"}}`) },
		"long":    says(`{"attributes":{"tier":"a"},"x":"` + strings.Repeat("a", maxAnswer) + `"}`),
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			says(`{"attr`)(w, nil)
		},
		"half":        says(`{"attributes":`),
		"null":        says(`null`),
		"list":        says(`[]`),
		"nothing":     says(`{}`),
		"other type":  says(`{"attributes":{"tier":{"a":1}}}`),
		"no value":    says(`{"attributes":{"tier":null}}`),
		"mixed list":  says(`{"attributes":{"tier":["a",1]}}`),
		"long value":  says(`{"attributes":{"tier":"` + strings.Repeat("a", maxValue+1) + `"}}`),
		"line break":  says(`{"attributes":{"tier":"a\nb"}}`),
		"no branch":   says(`{"attributes":{"tier":"a"},"branch":"nonesuch"}`),
		"branch type": says(`{"attributes":{"tier":"a"},"branch":1}`),
		"deny type":   says(`{"attributes":{"tier":"a"},"deny":"a\u0000b"}`),
		"deny object": says(`{"attributes":{"tier":"a"},"deny":{}}`),
	}
	for name, answer := range answers {
		c, s := start(t, answer, "attributes tier\nbranch vip")
		x := run()
		seen, err := enter(t, c, x)
		if flows.ReasonOf(err) != flows.ReasonServiceDown || !errors.Is(err, flows.ErrUnavailable) || seen.Kind != "" || x.User.Attributes["tier"] != nil || s.asked != 1 {
			t.Errorf("%s: %+v, %v, asked %d times", name, seen, err, s.asked)
		}
		if err != nil && (strings.Contains(err.Error(), "inTheAddress") || strings.Contains(err.Error(), secret)) {
			t.Errorf("%s: a secret is in the error: %v", name, err)
		}
		c.OnError = goOn
		if seen, err := enter(t, c, x); err != nil || seen.Kind != "take" || seen.Block != -1 || x.User.Attributes["tier"] != nil {
			t.Errorf("%s, continue: %+v, %v", name, seen, err)
		}
	}
}

func TestCallWaitsNoLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	c, _ := start(t, func(http.ResponseWriter, *http.Request) { <-release }, "timeout 50ms")
	defer close(release)
	if _, err := enter(t, c, run()); flows.ReasonOf(err) != flows.ReasonServiceDown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	c.OnError = goOn
	if o, err := c.Enter(gone, run()); !errors.Is(err, context.Canceled) || o != nil {
		t.Errorf("who left goes on: %v, %v", o, err)
	}
}

func TestCallProduces(t *testing.T) {
	t.Parallel()
	c := &Call{Attributes: []string{"tier"}}
	if !slices.Equal(c.Produces(), []string{"user.tier"}) || c.MayProduce() != nil || len(c.Conditions()) != 1 {
		t.Error("what it must give is not sure")
	}
	c.OnError = goOn
	if c.Produces() != nil || !slices.Equal(c.MayProduce(), []string{"user.tier"}) {
		t.Error("what it may not give is sure")
	}
	if c = (&Call{Send: []string{"request.ip"}}); c.Conditions() != nil {
		t.Error("an address alone belongs to nobody")
	}
}

func TestCallSecrets(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"short", "whsec_!!!", "whsec_MfKQ"} {
		if _, err := outbound.WebhookKey(s); err == nil || strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v", s, err)
		}
	}
	c, _ := start(t, says(`{}`), "")
	c.keys = append(c.keys, []byte("another secret of ours"))
	h := http.Header{}
	outbound.SignWebhook(h, c.keys, "a", "1", nil)
	if got := strings.Fields(h.Get("Webhook-Signature")); len(got) != 2 || got[0] == got[1] {
		t.Errorf("two secrets sign %v", got)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{}`, `{"deny":true}`, `{"deny":"x"}`, `{"branch":"vip"}`, `{"attributes":{"tier":["a"]}}`, `{"attributes":{"tier":1e999}}`, `[`, "\xff"} {
		f.Add([]byte(s))
	}
	c := &Call{Attributes: []string{"tier"}, Branches: []*Branch{{Name: "vip"}}}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := c.parse(body)
		switch {
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Fatalf("the error has lines: %q", err)
		case err != nil:
		case a.branch < -1 || a.branch > 0 || len(a.text) > maxText || a.text != "" && !a.deny:
			t.Fatalf("%q became %+v", body, a)
		case !a.deny && a.attributes["tier"] == nil:
			t.Fatalf("%q gives nothing", body)
		}
	})
}
