package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
	"github.com/sallyport-gateway/sallyport/flows/webhook"
)

const secret = "a secret of sixteen bytes and more"

func TestMain(m *testing.M) {
	if err := os.Setenv("SALLYPORT_TEST_FRAUD", secret); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// service is a fraud service that answers as a test says.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string
	heads  []http.Header
	answer http.HandlerFunc
}

func serve(t testing.TB, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked, s.heads = append(s.asked, string(b)), append(s.heads, r.Header.Clone())
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(b))
		s.answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, body)
	}
}

func parsed(text string) (*Signal, error) {
	s := new(Signal)
	return s, s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
}

func start(t testing.TB, url, lines string) (*Signal, *flowstest.Registry) {
	t.Helper()
	s, err := parsed("http {\nurl " + url + "\nsecret {env.SALLYPORT_TEST_FRAUD}\n" + lines + "\n}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	reg := flowstest.NewRegistry()
	reg.Client = outbound.New(outbound.Options{Trusted: []string{"127.0.0.1"}})
	t.Cleanup(reg.Client.CloseIdleConnections)
	if err := errors.Join(s.Provision(ctx), s.Bind(reg)); err != nil {
		t.Fatal(err)
	}
	return s, reg
}

func anna() *flows.Facts {
	return &flows.Facts{
		Now: flowstest.Start, Device: flows.DeviceFacts{Known: true},
		User:     &flows.User{Key: "corp:u-1", Name: "anna", Email: "anna@corp.example", Groups: []string{"staff"}},
		Evidence: []flows.Evidence{{User: "corp:u-1", Provider: "corp", Method: "password", AMR: []string{"pwd"}, At: flowstest.Start}},
		Request:  &flows.Request{Method: "GET", Host: "app.example", Path: "/pay", IP: "192.0.2.7", Header: map[string][]string{"User-Agent": {"Browser/1"}}},
		Locate:   func(string) flows.Place { return flows.Place{Country: "FR"} },
	}
}

func TestSignal(t *testing.T) {
	t.Parallel()
	s, _ := start(t, serve(t, says(`{"score":73.4,"reasons":["seen elsewhere"],"id":"r-1"}`)).URL, "")
	flowstest.TestSignal(t, flowstest.SignalCase{Guest: s, Facts: []*flows.Facts{anna()}})
}

// What the service is told is what the operator chose, signed, and no more.
func TestQuestion(t *testing.T) {
	t.Parallel()
	for send, want := range map[string]string{
		"": `{"request":{"ip":"192.0.2.7"},"user":{"key":"corp:u-1"}}`,
		"send user.email user.groups user.none request.host request.user_agent device.known geo.country auth.method auth.amr": `{"auth":{"amr":["pwd"],"method":"password"},"device":{"known":true},"geo":{"country":"FR"},"request":{"host":"app.example","user_agent":"Browser/1"},"user":{"email":"anna@corp.example","groups":["staff"]}}`,
	} {
		srv := serve(t, says(`{"score":0}`))
		s, _ := start(t, srv.URL, send)
		r, err := s.Read(t.Context(), anna(), nil)
		if err != nil || r.Score != 0 || r.Reason != "" || !strings.HasPrefix(r.Ref, "msg_") {
			t.Fatalf("%+v, %v", r, err)
		}
		if want = `{"type":"risk.read","timestamp":"2026-03-01T12:00:00Z","data":` + want + `}`; srv.asked[0] != want {
			t.Errorf("asked %s\nwant  %s", srv.asked[0], want)
		}
		h := srv.heads[0]
		if err := (webhook.Keys{[]byte(secret)}).Verify(h, r.Ref, flowstest.Start, []byte(srv.asked[0])); err != nil || h.Get("Content-Type") != "application/json" {
			t.Errorf("%v: %v", err, h)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(n)
			_, _ = io.WriteString(w, `{"score":0}`)
		}
	}
	elsewhere := serve(t, says(`{"score":0}`))
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // of the reading; empty: an error
	}{
		{"a score", says(`{"score":40}`), "40 service_score "},
		{"rounded", says(`{"score":99.6}`), "100 service_score "},
		{"none", says(`{"score":0,"reasons":[]}`), "0  "},
		{"reasons", says(`{"score":1,"reasons":["new card","a\u0000b\u202e\n<script>"],"else":{}}`), "1 service_score new card; a b <script>"},
		{"many reasons", says(`{"score":1,"reasons":["1","2","3","4","5","6"]}`), "1 service_score 1; 2; 3; 4; 5"},
		{"a long reason", says(`{"score":1,"reasons":["` + strings.Repeat("ä", 300) + `"]}`), "1 service_score " + strings.Repeat("ä", 98) + "…"},
		{"over 100", says(`{"score":100.1}`), ""},
		{"below 0", says(`{"score":-1}`), ""},
		{"endless", says(`{"score":1e309}`), ""},
		{"NaN", says(`{"score":NaN}`), ""},
		{"a text", says(`{"score":"NaN"}`), ""},
		{"a number in a text", says(`{"score":"5"}`), ""},
		{"null", says(`{"score":null}`), ""},
		{"no score", says(`{}`), ""},
		{"another spelling", says(`{"Score":5}`), ""},
		{"a list", says(`[5]`), ""},
		{"nothing", says(``), ""},
		{"two objects", says(`{"score":5}{"score":0}`), ""},
		{"reasons that are none", says(`{"score":5,"reasons":"x"}`), ""},
		{"an id that is none", says(`{"score":5,"id":"a\nb"}`), ""},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `{"score":0}`)
		}, ""},
		{"no content", status(204), ""},
		{"created", status(201), ""},
		{"401", status(401), ""},
		{"429", status(429), ""},
		{"500", status(500), ""},
		{"led away", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, ""},
		{"led into the cloud", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		}, ""},
		{"huge", says(`{"score":0,"x":"` + strings.Repeat("x", 2<<20) + `"}`), ""},
		{"long", says(`{"score":0,"x":"` + strings.Repeat("x", maxAnswer) + `"}`), ""},
		{"a bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, `{"score":0,"x":"`+strings.Repeat("x", 64<<20)+`"}`)
			_ = z.Close()
		}, ""},
		{"cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"score":0}`)
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, tc.answer)
			s, _ := start(t, srv.URL, "")
			r, err := s.Read(t.Context(), anna(), nil)
			if tc.want == "" {
				if err == nil || r != (flows.Reading{}) {
					t.Errorf("%+v", r)
				}
				if err != nil && (strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "anna") || strings.Contains(err.Error(), secret)) {
					t.Errorf("the error tells too much: %v", err)
				}
				return
			}
			if got := fmt.Sprintf("%d %s %s", r.Score, r.Reason, r.Text); err != nil || got != tc.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if len(elsewhere.asked) > 0 {
		t.Error("another host was told of anna")
	}
}

// Answers that must be signed, and are for another question, of another time, by
// somebody else, or not at all.
func TestSignedAnswers(t *testing.T) {
	t.Parallel()
	const body = `{"score":5}`
	sign := func(key string, id func(*http.Request) string, at time.Time) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			webhook.Keys{[]byte(key)}.Sign(w.Header(), id(r), at, []byte(body))
			says(body)(w, r)
		}
	}
	same := func(r *http.Request) string { return r.Header.Get("Webhook-Id") }
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		ok     bool
	}{
		"signed":           {sign(secret, same, flowstest.Start), true},
		"not signed":       {says(body), false},
		"another key":      {sign(secret+"x", same, flowstest.Start), false},
		"another question": {sign(secret, func(*http.Request) string { return "msg_1" }, flowstest.Start), false},
		"of yesterday":     {sign(secret, same, flowstest.Start.Add(-24*time.Hour)), false},
		"our own signature": {func(w http.ResponseWriter, r *http.Request) {
			for _, h := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature} {
				w.Header().Set(h, r.Header.Get(h))
			}
			says(body)(w, r)
		}, false},
	} {
		s, _ := start(t, serve(t, tc.answer).URL, "signed_answers")
		if r, err := s.Read(t.Context(), anna(), nil); (err == nil) != tc.ok || tc.ok != (r.Score == 5) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// A service that takes the connection and says nothing is not waited for any longer
// than its time-out (C17).
func TestC17DeadServiceDelaysALoginByItsTimeoutAtMost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close() // held until the test is over
		}
	}()
	for _, tc := range []struct {
		timeout, most time.Duration
	}{{100 * time.Millisecond, time.Second}, {0, 2500 * time.Millisecond}} {
		s, _ := start(t, "http://"+l.Addr().String(), "")
		s.Timeout = flows.Duration(tc.timeout)
		begun := time.Now()
		r, err := s.Read(t.Context(), anna(), nil)
		if took := time.Since(begun); err == nil || took > tc.most {
			t.Errorf("%+v, %v after %s", r, err, took)
		}
	}
	s, _ := start(t, "http://"+l.Addr().String(), "")
	_ = l.Close()
	if _, err := s.Read(t.Context(), anna(), nil); err == nil {
		t.Error("nobody is there, and answers")
	}
}

func TestSlowBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"score":`)
		_ = http.NewResponseController(w).Flush()
		<-hold
	})
	defer close(hold)
	s, _ := start(t, srv.URL, "")
	s.Timeout = flows.Duration(100 * time.Millisecond)
	if r, err := s.Read(t.Context(), anna(), nil); err == nil {
		t.Errorf("%+v", r)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(`{"score":5}`))
	s, reg := start(t, srv.URL, "cache 5m")
	read := func(f *flows.Facts) string {
		r, err := s.Read(t.Context(), f, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Ref
	}
	first := read(anna())
	reg.Forward(4 * time.Minute)
	other := anna()
	other.Request.IP = "192.0.2.8"
	if read(anna()) != first || read(other) == first || len(srv.asked) != 2 {
		t.Errorf("asked %d times", len(srv.asked))
	}
	reg.Forward(time.Minute)
	if read(anna()) == first {
		t.Error("an answer is kept too long")
	}
	srv.answer = says(`{}`)
	reg.Forward(time.Hour)
	for range 2 {
		if _, err := s.Read(t.Context(), anna(), nil); err == nil {
			t.Error("an old answer is given in place of an error")
		}
	}
	for i := range 2 * maxKept {
		s.known.put([]byte(fmt.Sprint(i)), flows.Reading{}, reg.Now())
	}
	if len(s.known.all) > maxKept {
		t.Errorf("%d answers are kept", len(s.known.all))
	}
}

// The service hears what came of it, by the name of its answer and nothing of the person.
func TestReport(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(``))
	s, _ := start(t, "http://127.0.0.1:1/score", "outcome "+srv.URL+"/told")
	r := flows.Report{
		ID: "E1", Kind: "login", Time: flowstest.Start, Reason: flows.ReasonNotAllowed, User: "corp:u-1", Name: "anna", IP: "192.0.2.7", Ref: "r-1",
	}
	if err := s.Report(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"risk.outcome","timestamp":"2026-03-01T12:00:00Z","data":{"id":"r-1","result":"denied","reason":"not_allowed","kind":"login","time":"2026-03-01T12:00:00Z"}}`
	if srv.asked[0] != want {
		t.Errorf("told %s", srv.asked[0])
	}
	if err := (webhook.Keys{[]byte(secret)}).Verify(srv.heads[0], "out_E1", flowstest.Start, []byte(want)); err != nil {
		t.Error(err)
	}
	r.Granted, r.Reason = true, ""
	if err := s.Report(t.Context(), &r); err != nil || !strings.Contains(srv.asked[1], `"result":"granted","kind"`) {
		t.Errorf("%v: %s", err, srv.asked[1])
	}
	for status, again := range map[int]bool{500: true, 503: true, 429: true, 408: true, 400: false, 404: false, 302: false} {
		srv.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		if err := s.Report(t.Context(), &r); err == nil || errors.Is(err, flows.ErrUnavailable) != again {
			t.Errorf("%d: %v", status, err)
		}
	}
	srv.Close()
	if err := s.Report(t.Context(), &r); !errors.Is(err, flows.ErrUnavailable) {
		t.Error(err)
	}
	off, _ := start(t, srv.URL, "outcome off")
	if err := off.Report(t.Context(), &r); err != nil {
		t.Error(err)
	}
}

func TestNobodyToAskAbout(t *testing.T) {
	t.Parallel()
	srv := serve(t, says(`{"score":5}`))
	s, _ := start(t, srv.URL, "send user.email")
	f := anna()
	f.User = nil
	if r, err := s.Read(t.Context(), f, nil); err != nil || !r.Unknown || len(srv.asked) > 0 {
		t.Errorf("%+v, %v, asked %d times", r, err, len(srv.asked))
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"http x", "http takes no argument"},
		{"http", "http names no address"},
		{"http {\nbody x\n}", "http has no option 'body'; there are: cache, outcome, secret, send, signed_answers, url"},
		{"http {\nurl http://fraud.example/key-1\n}", "url is no address such as"},
		{"http {\nurl https://x.example\n}", "http has no secret"},
		{"http {\nurl https://x.example\nsecret s\nsend user\n}", "http cannot send 'user'; there are: user.<attribute>, request.host"},
		{"http {\nurl https://x.example\nsecret s\noutcome on\n}", "outcome is no address"},
		{"http {\nurl a b\n}", "url takes 1 arguments, but got 2"},
		{"http {\ncache soon\n}", "no duration"},
		{"http {\nurl a\nurl b\n}", "written twice"},
		{"http {\nsigned_answers yes\n}", "takes 0 arguments"},
	} {
		if _, err := parsed(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "key-1") {
			t.Errorf("%s: %v", tc.in, err)
		}
	}
	for _, s := range []Signal{
		{URL: "{env.SALLYPORT_TEST_FRAUD}", Secrets: []string{secret}},
		{URL: "https://x.example", Secrets: []string{"short"}},
		{URL: "https://x.example", Secrets: []string{"{env.SALLYPORT_TEST_NOTHING}"}},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		if err := s.Provision(ctx); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v: %v", s.URL, err)
		}
	}
}

// FuzzParse: whatever a service says, it is a reading as it should be, or an error.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"score":5}`, `{"score":1e309}`, `{"score":50,"reasons":["a","\u202e"],"id":"x"}`, `[`, "\xff", `{"score":null}`, `{"score":-0}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parse(body)
		switch {
		case err != nil && strings.Contains(err.Error(), "\n"), err == nil && (r.Score < 0 || r.Score > 100 || len(r.Text) > maxText || (r.Score > 0) != (r.Reason != "")):
			t.Errorf("%q: %+v, %v", body, r, err)
		case err == nil && strings.ContainsFunc(r.Text, func(c rune) bool { return c < ' ' || c == 0x7f || c == 0x202e }):
			t.Errorf("%q", r.Text)
		}
		if b, err := json.Marshal(r); err != nil || len(b) > 2000 {
			t.Errorf("%s, %v", b, err)
		}
	})
}
