package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func TestMain(m *testing.M) {
	if err := os.Setenv("SALLYPORT_TEST_CRM", "crm-secret"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// crm is a service that knows anna, and two with one address.
type crm struct {
	*httptest.Server
	asked, tokens atomic.Int64
	answer        func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T) *crm {
	t.Helper()
	c := &crm{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			c.tokens.Add(1)
			id, secret, _ := r.BasicAuth()
			if id != "gw" || secret != "crm-secret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "people.read" {
				http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"at","token_type":"Bearer","expires_in":3600}`)
			return
		}
		c.asked.Add(1)
		if c.answer != nil && c.answer(w, r) {
			return
		}
		people := []map[string]any{
			{"mail": "anna@example.com", "id": "a1", "employee": map[string]any{"number": "4711"}, "grade": 7},
			{"mail": "both@example.com", "id": "b1"},
			{"mail": "both@example.com", "id": "b2"},
		}
		hits := []map[string]any{}
		for _, p := range people {
			if p["mail"] == r.URL.Query().Get("mail") {
				hits = append(hits, p)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"value": hits})
	}))
	t.Cleanup(c.Close)
	return c
}

func parse(text string) (*Directory, error) {
	d := new(Directory)
	return d, d.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func directory(t *testing.T, text string) *Directory {
	t.Helper()
	d, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	reg := flowstest.NewRegistry()
	reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}})
	if err := errors.Join(d.Provision(ctx), d.Bind(reg)); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	c := serve(t)
	d := directory(t, "http {\nurl "+c.URL+"/people\nquery {by} x\nquery mail {value}\njson_path value\noauth2 "+c.URL+"/token gw {env.SALLYPORT_TEST_CRM} people.read\n}")
	flowstest.TestDirectory(t, flowstest.DirectoryCase{
		Guest: d, By: "mail", Value: "anna@example.com", Attribute: "id", Want: "a1", Twice: "both@example.com", Break: c.Close,
	})
	if n := c.tokens.Load(); n != 1 {
		t.Errorf("%d tokens for all questions, want one", n)
	}
}

// Whatever is asked for stays in its place: one segment, one parameter, its quotes.
func TestAddressIsNotBroken(t *testing.T) {
	t.Parallel()
	d := &Directory{URL: "https://x.example/users/{value}/me", Query: []Parameter{
		{"$filter", "{by} eq '{value}'"}, {"filter", `{by} eq "{value}"`}, {"q", "{value}"},
	}}
	for _, value := range []string{"a", "o'brien", `a" or id pr or x eq "`, "a' or '1' eq '1", "a&b=c", "a/../b", "a?b#c", `a\`, "a b+c%20", "Grüße"} {
		q, err := http.NewRequest(http.MethodGet, d.address("mail", value), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(q.URL.EscapedPath(), "/"); len(got) != 4 || got[1] != "users" || got[3] != "me" {
			t.Errorf("%q leaves its segment: %s", value, q.URL)
		}
		v := q.URL.Query()
		inner := strings.TrimSuffix(strings.TrimPrefix(v.Get("$filter"), "mail eq '"), "'")
		if len(v) != 3 || v.Get("q") != value || strings.ReplaceAll(strings.ReplaceAll(inner, "''", ""), "'", "!") != strings.ReplaceAll(value, "'", "") {
			t.Errorf("%q becomes %q", value, v)
		}
		var back string
		if err := json.Unmarshal([]byte(strings.TrimPrefix(v.Get("filter"), "mail eq ")), &back); err != nil || back != value {
			t.Errorf("%q ends its quotes: %s", value, v.Get("filter"))
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	say := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for _, tc := range []struct {
		name, path string
		answer     func(http.ResponseWriter, *http.Request) bool
		want       error
	}{
		{"whole", "", say(200, `{"mail":"anna@example.com","id":"x"}`), nil},
		{"other spelling", "", say(200, `{"mail":"Anna@Example.com","id":"x"}`), nil},
		{"deeper", "$.data[0].user", say(200, `{"data":[{"user":{"id":"x"}}]}`), nil},
		{"404", "", say(404, ``), flows.ErrNotFound},
		{"null", "value", say(200, `{"value":null}`), flows.ErrNotFound},
		{"not there", "value.0.user", say(200, `{}`), flows.ErrNotFound},
		{"empty list", "value.0", say(200, `{"value":[]}`), flows.ErrNotFound},
		{"first of two", "value.0", say(200, `{"value":[{"id":"x"},{"id":"y"}]}`), flows.ErrAmbiguous},
		{"first page", "value", say(200, `{"value":[{"id":"x"}],"@odata.nextLink":"https://x"}`), flows.ErrAmbiguous},
		{"first of SCIM", "Resources", say(200, `{"totalResults":2,"Resources":[{"id":"x"}]}`), flows.ErrAmbiguous},
		{"somebody else", "", say(200, `{"mail":"bert@example.com","id":"x"}`), flows.ErrUnavailable},
		{"no JSON", "", say(200, `<html>`), flows.ErrUnavailable},
		{"a text", "", say(200, `"x"`), flows.ErrUnavailable},
		{"through a text", "a.b", say(200, `{"a":"x"}`), flows.ErrUnavailable},
		{"401", "", say(401, ``), flows.ErrUnavailable},
		{"429", "", say(429, ``), flows.ErrUnavailable},
		{"500", "", say(500, `{"id":"x"}`), flows.ErrUnavailable},
		{"huge", "", say(200, `{"id":"`+strings.Repeat("x", 2<<20)+`"}`), flows.ErrUnavailable},
		{"cut", "", func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"id":"x"}`)
			return true
		}, flows.ErrUnavailable},
		{"elsewhere", "", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
			return true
		}, flows.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t)
			c.answer = tc.answer
			text := "http {\nurl " + c.URL + "/p/{value}\n"
			if tc.path != "" {
				text += "json_path " + tc.path + "\n"
			}
			a, err := directory(t, text+"}").Find(t.Context(), "mail", "anna@example.com")
			if tc.want == nil && (err != nil || a["id"] != "x") || tc.want != nil && (!errors.Is(err, tc.want) || a != nil) {
				t.Errorf("got %v, %v, want %v", a, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "anna") {
				t.Errorf("the error names the person: %v", err)
			}
		})
	}
}

func TestSlowServiceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c, hold := serve(t), make(chan struct{})
	t.Cleanup(func() { close(hold) })
	c.answer = func(http.ResponseWriter, *http.Request) bool { <-hold; return true }
	d := directory(t, "http {\nurl "+c.URL+"/{value}\ntimeout 50ms\n}")
	if _, err := d.Find(t.Context(), "mail", "anna@example.com"); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	c := serve(t)
	d := directory(t, "http {\nurl "+c.URL+"/people\nquery mail {value}\njson_path value\ncache 5m\n}")
	now := flowstest.Start
	d.now = func() time.Time { return now }
	for _, step := range []struct {
		value string
		after time.Duration
		want  int64
	}{{"anna@example.com", 0, 1}, {"anna@example.com", time.Minute, 1}, {"nobody@example.com", 0, 2}, {"nobody@example.com", 0, 2}, {"anna@example.com", 5 * time.Minute, 3}} {
		now = now.Add(step.after)
		_, _ = d.Find(t.Context(), "mail", step.value)
		if n := c.asked.Load(); n != step.want {
			t.Errorf("%+v: asked %d times", step, n)
		}
	}
}

func TestWrongSecretIsNobodysFault(t *testing.T) {
	t.Parallel()
	c := serve(t)
	d := directory(t, "http {\nurl "+c.URL+"/{value}\noauth2 "+c.URL+"/token gw wrong-secret people.read\n}")
	_, err := d.Find(t.Context(), "mail", "anna@example.com")
	if !errors.Is(err, flows.ErrUnavailable) || errors.Is(err, flows.ErrNotFound) || strings.Contains(fmt.Sprint(err), "wrong-secret") {
		t.Errorf("got %v", err)
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"argument", "http x", "takes no argument"},
		{"unknown word", "http {\nbody x\n}", "http has no option 'body'; there are: cache, json_path, oauth2, query, timeout, url"},
		{"no url", "http {\njson_path x\n}", "is no address"},
		{"in the clear", "http {\nurl http://crm.example/{value}\n}", "http:// is for loopback only"},
		{"scheme", "http {\nurl ftp://crm.example/{value}\n}", "is no address"},
		{"host from outside", "http {\nurl https://{value}.example/\n}", "in the path only"},
		{"password", "http {\nurl https://me:secret@crm.example/{value}\n}", "is no address"},
		{"query in url", "http {\nurl https://crm.example/?mail={value}\n}", "query <name> <value>"},
		{"nobody", "http {\nurl https://crm.example/\n}", "everybody would be the same"},
		{"query alone", "http {\nquery x\n}", "query takes 2 arguments, but got 1"},
		{"twice", "http {\ncache 1m\ncache 2m\n}", "cache is written twice"},
		{"cache", "http {\ncache soon\n}", "no duration"},
		{"timeout", "http {\ntimeout 0s\n}", "no duration"},
		{"oauth2", "http {\nurl https://crm.example/{value}\noauth2 https://x gw\n}", "oauth2 takes 3 arguments, but got 2"},
		{"token in the clear", "http {\nurl https://crm.example/{value}\noauth2 http://idp.example/token gw secret\n}", "http:// is for loopback only"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzAnswer: whatever a service says, it is one person, nobody, or an error.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `[{"mail":"a"}]`, `{"value":[{"mail":"b"}]}`, `null`, `7`, `{"value":{"0":{}}}`} {
		f.Add(s, "value.0")
	}
	f.Fuzz(func(t *testing.T, body, path string) {
		var v any
		if json.Unmarshal([]byte(body), &v) != nil {
			return
		}
		a, err := person(v, path, "mail", "a")
		if (a == nil) == (err == nil) {
			t.Errorf("%s at %s: %v, %v", body, path, a, err)
		}
		if is, ok := a["mail"].(string); ok && !strings.EqualFold(is, "a") {
			t.Errorf("%s at %s is somebody else", body, path)
		}
	})
}
