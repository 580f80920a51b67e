package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// gateway is an SMS gateway: it keeps what it takes, and answers the statuses it
// is told, one a request; 0 breaks the connection.
type gateway struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	asked    int
	taken    []string
	last     *http.Request
}

func serve(t *testing.T, statuses ...int) *gateway {
	g := &gateway{statuses: statuses}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.asked++
		status := http.StatusAccepted
		if len(g.statuses) > 0 {
			if status = g.statuses[0]; len(g.statuses) > 1 {
				g.statuses = g.statuses[1:]
			}
		}
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		if status/100 == 2 {
			g.taken, g.last = append(g.taken, string(body)+" "+r.URL.RequestURI()), r
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "you said %s", body)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) got() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.taken)
}

func read(text string) (*Messenger, error) {
	m := new(Messenger)
	return m, m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

// messenger is bound, and waits for nothing between its tries.
func messenger(t *testing.T, text string) (*Messenger, *[]time.Duration) {
	t.Helper()
	m, err := read(text)
	if err == nil {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		t.Cleanup(cancel)
		err = m.Provision(ctx)
	}
	if err == nil {
		err = m.Bind(flowstest.NewRegistry())
	}
	if err != nil {
		t.Fatal(err)
	}
	var waited []time.Duration
	m.pause = func(ctx context.Context, d time.Duration) error {
		if d > 0 {
			waited = append(waited, d)
		}
		return ctx.Err()
	}
	return m, &waited
}

func sms() flows.Message {
	return flows.Message{
		ID: "m1", Kind: "code", To: "+41790000001", Language: "de", Subject: "Ihr Code", Text: "830417 ist Ihr \"Code\" & mehr\nfür {to}",
		Values: map[string]string{"host": "app.example"}, Secret: map[string]string{"code": "830417"},
	}
}

func TestMessenger(t *testing.T) {
	g := serve(t)
	m, _ := messenger(t, "http {\nurl "+g.URL+"/sms\nfield to {to}\nfield subject {subject}\nfield text {text}\n}")
	flowstest.TestMessenger(t, flowstest.MessengerCase{
		Guest: m, To: "+41790000001", Got: g.got,
		Refuse: func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.statuses = []int{http.StatusBadRequest}
		},
		Break: func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.statuses = []int{0}
		},
	})
}

func TestWhatArrives(t *testing.T) {
	t.Setenv("SMS_KEY", "a {to} of my own")
	g := serve(t)
	for _, tc := range []struct{ name, words, body, uri, typ string }{
		{"json", "field message.to {to}\nfield message.body {text}\nfield from ACME\nfield n {code}", `{"from":"ACME","message":{"body":` + quoted(sms().Text) + `,"to":"+41790000001"},"n":"830417"}`, "/sms", "application/json"},
		{"form", "body form\nfield To {to}\nfield Body \"{code}: {host}\"", "To=%2B41790000001&Body=830417%3A+app.example", "/sms", "application/x-www-form-urlencoded"},
		{"query", "method get", "", "/sms?to=%2B41790000001&t=" + escaped(sms().Text) + "&id=m1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := g.URL + "/sms"
			if tc.name == "query" {
				to += "?to={to}&t={text}&id={id}"
			}
			m, _ := messenger(t, "http {\nurl "+to+"\nheader X-Key {env.SMS_KEY}\nheader Idempotency-Key {id}\nbasic_auth gw {env.SMS_KEY}\n"+tc.words+"\n}")
			if err := m.Send(t.Context(), sms()); err != nil {
				t.Fatal(err)
			}
			got := g.got()
			if last := got[len(got)-1]; last != tc.body+" "+tc.uri || g.last.Header.Get("Content-Type") != tc.typ {
				t.Errorf("got  %s (%s)\nwant %s %s", last, g.last.Header.Get("Content-Type"), tc.body, tc.uri)
			}
			user, password, _ := g.last.BasicAuth()
			if user != "gw" || password != "a {to} of my own" || g.last.Header.Get("X-Key") != password || g.last.Header.Get("Idempotency-Key") != "m1" {
				t.Errorf("headers: %v", g.last.Header)
			}
		})
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestRetries(t *testing.T) {
	for _, tc := range []struct {
		name     string
		statuses []int
		asked    int
		ok       bool
		later    bool
	}{
		{"at once", []int{200}, 1, true, false},
		{"at the third try", []int{503, 429, 201}, 3, true, false},
		{"a broken connection", []int{0, 202}, 2, true, false},
		{"never", []int{500}, 3, false, true},
		{"refused for good", []int{422}, 1, false, false},
		{"elsewhere", []int{302}, 1, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := serve(t, tc.statuses...)
			m, waited := messenger(t, "http {\nurl "+g.URL+"/sms\nfield to {to}\nfield text {text}\n}")
			err := m.Send(t.Context(), sms())
			if (err == nil) != tc.ok || errors.Is(err, flows.ErrUnavailable) != tc.later || g.asked != tc.asked {
				t.Errorf("asked %d times: %v", g.asked, err)
			}
			if want := pauses[1:min(tc.asked, 3)]; !slices.Equal(*waited, want) {
				t.Errorf("waited %v, want %v", *waited, want)
			}
			if strings.Contains(fmt.Sprint(err), "830417") || strings.Contains(fmt.Sprint(err), "4179") {
				t.Errorf("the error holds the message: %v", err)
			}
		})
	}
}

// The tries end with the time for all of them.
func TestNoTryAfterItsTime(t *testing.T) {
	g := serve(t, 503)
	m, _ := messenger(t, "http {\nurl "+g.URL+"/sms\nfield to {to}\nfield text {text}\ntimeout 10ms\n}")
	m.pause = func(ctx context.Context, d time.Duration) error {
		if d > 0 {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	if err := m.Send(t.Context(), sms()); !errors.Is(err, flows.ErrUnavailable) || g.asked > 1 {
		t.Errorf("asked %d times: %v", g.asked, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wait(ended, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("waits on: %v", err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	const fields = "\nfield to {to}\nfield text {text}\n}"
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "http x", "takes no argument, but got 'x'"},
		{"unknown word", "http {\nquery x\n}", "http has no option 'query'; there are: basic_auth, body, field, header, method, timeout, url"},
		{"no url", "http {" + fields, "needs an address"},
		{"in the clear", "http {\nurl http://sms.example/" + fields, "http:// is for loopback only"},
		{"scheme", "http {\nurl ftp://sms.example/" + fields, "is no address"},
		{"password", "http {\nurl https://me:secret@sms.example/" + fields, "holds a password"},
		{"host from outside", "http {\nurl https://{to}.example/" + fields, "in path and query only"},
		{"nobody", "http {\nurl https://sms.example/\nfield text {text}\n}", "holds {to}"},
		{"nothing", "http {\nurl https://sms.example/\nfield to {to}\n}", "holds {text}"},
		{"unknown place", "http {\nurl https://sms.example/\nfield to {phone}" + fields, "field to: nothing fills in {phone}; there are: code, host,"},
		{"open place", "http {\nurl https://sms.example/\nfield a \"{to\"" + fields, "has no }"},
		{"field twice", "http {\nurl https://sms.example/\nfield to x" + fields, "field to and field to exclude each other"},
		{"field in field", "http {\nurl https://sms.example/\nfield to.x x" + fields, "field to.x and field to exclude each other"},
		{"field's name", "http {\nurl https://sms.example/\nfield a..b x" + fields, "'a..b' is no name of a field"},
		{"header", "http {\nurl https://sms.example/\nheader \"a b\" x" + fields, "'a b' is no name of a header"},
		{"method", "http {\nurl https://sms.example/\nmethod DELETE" + fields, "method 'DELETE' is not"},
		{"get with fields", "http {\nurl https://sms.example/\nmethod GET" + fields, "a GET has no fields"},
		{"body", "http {\nurl https://sms.example/\nbody xml" + fields, "body 'xml' is not"},
		{"basic_auth", "http {\nurl https://sms.example/\nbasic_auth me" + fields, "basic_auth takes 2 arguments, but got 1"},
		{"timeout", "http {\nurl https://sms.example/\ntimeout soon" + fields, "no duration"},
		{"twice", "http {\nurl https://a.example\nurl https://b.example\n}", "url is written twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := read(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	m, err := read("http {\nurl https://sms.example/\nheader X-Key {file./nowhere/at/all}" + fields)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if err := m.Provision(ctx); err == nil || !strings.HasPrefix(err.Error(), "header X-Key") {
		t.Errorf("a secret that is not there: %v", err)
	}
}

// FuzzFill: whatever a message holds, it stays in its place of the address.
func FuzzFill(f *testing.F) {
	f.Add("+41790000001", "830417 is your code")
	f.Add("a&b=c#d?e/f", "{to}%00\r\n")
	at, err := parse("https://sms.example/send?to={to}&text={text}", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to, words string) {
		u, err := url.Parse(at.of(flows.Message{To: to, Text: words}, escaped))
		if err != nil {
			t.Fatal(err)
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || u.Host != "sms.example" || u.Path != "/send" || u.Fragment != "" || len(q) != 2 || q.Get("to") != to || q.Get("text") != words {
			t.Errorf("%q and %q make %s (%v)", to, words, u, err)
		}
	})
}
