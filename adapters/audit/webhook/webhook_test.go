package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	hooks "github.com/sallyport-gateway/sallyport/flows/webhook"
)

const secret = "0123456789abcdef secret"

// service keeps the events of the requests that are signed as they should be.
type service struct {
	mu     sync.Mutex
	events bytes.Buffer
	ids    []string
	status int
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	at, _ := strconv.ParseInt(r.Header.Get(hooks.HeaderTimestamp), 10, 64)
	unsigned := hooks.Keys{[]byte(secret)}.Verify(r.Header, r.Header.Get(hooks.HeaderID), time.Unix(at, 0), body)
	switch {
	case unsigned != nil || r.Method != http.MethodPost:
		w.WriteHeader(http.StatusForbidden)
	case json.Unmarshal(body, &in) != nil || !strings.HasPrefix(in.Type, "audit."):
		w.WriteHeader(http.StatusBadRequest)
	case s.status != 0:
		w.WriteHeader(s.status)
	default:
		s.events.Write(append(in.Data, '\n'))
	}
	s.ids = append(s.ids, r.Header.Get("Webhook-Id"))
}

func (s *service) written() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events.String(), nil
}

func start(t *testing.T, h http.HandlerFunc, words string) *Sink {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	s := new(Sink)
	err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser("webhook " + server.URL + "/?token=inTheAddress {\nsecret \"" + secret + "\"\n" + words + "\n}"))
	if err == nil {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		t.Cleanup(cancel)
		err = s.Provision(ctx)
	}
	if err = errors.Join(err, s.Validate(), s.Bind(flowstest.NewRegistry())); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	flowstest.TestSink(t, func(t *testing.T) flowstest.Sink {
		far := new(service)
		return flowstest.Sink{Sink: start(t, far.serve, "timeout 5s"), Written: far.written}
	})
}

// I25: no answer is no receipt, and no secret is in the error.
func TestI25NoAnswerIsNoReceipt(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	for name, h := range map[string]http.HandlerFunc{
		"500":      (&service{status: http.StatusInternalServerError}).serve,
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"slow":     func(http.ResponseWriter, *http.Request) { <-release },
		"broken":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		trail := audit.NewTrail(nil, start(t, h, "timeout 50ms"))
		r, err := trail.Before(t.Context(), flowstest.AuditEvent("a"))
		if !errors.Is(err, audit.ErrDown) || r.Valid() {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "inTheAddress") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: a secret is in the error: %v", name, err)
		}
		trail.Close()
	}
}

func TestSecondTryIsKnown(t *testing.T) {
	t.Parallel()
	far := &service{status: http.StatusServiceUnavailable}
	s := start(t, far.serve, "")
	for _, id := range []string{"a", "a", "b"} {
		if err := s.Write(context.Background(), flowstest.AuditEvent(id)); err == nil {
			t.Error("503 is taken for an answer")
		}
	}
	if far.ids[0] != far.ids[1] || far.ids[1] == far.ids[2] {
		t.Errorf("%q", far.ids)
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, err string }{
		{in: "webhook https://a.example/x {\nsecret {env.A} {env.B}\ntimeout 1s\n}"},
		{in: "webhook {env.URL} {\nsecret {env.A}\n}"},
		{in: "webhook", err: "exactly one url"},
		{in: "webhook http://a.example/ {\nsecret {env.A}\n}", err: "http:// is for loopback only"},
		{in: "webhook https://a.example/", err: "has no secret"},
		{in: "webhook https://a.example/ {\nsecret\n}", err: "secret wants a secret"},
		{in: "webhook https://a.example/ {\nsecret {env.A}\ntimeout 6s\n}", err: "no duration up to 5s"},
		{in: "webhook https://a.example/ {\nsecret {env.A}\nsecret {env.B}\n}", err: "written twice"},
		{in: "webhook https://a.example/ {\nretries 5\n}", err: "no option 'retries'; there are: secret, timeout"},
		{in: "webhook https://a.example/ {\nsecret {env.A} {\nx\n}\n}", err: "secret has no options"},
	} {
		s := new(Sink)
		err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: %v, want %q", tc.in, err, tc.err)
		}
	}
	for _, s := range []*Sink{{URL: "ftp://x/"}, {URL: "https://x/", Secrets: []string{"short"}}, {URL: "{env.NONE_SUCH_HERE}"}} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		if err := s.Provision(ctx); err == nil {
			t.Errorf("%+v is taken", s)
		}
		cancel()
	}
	if err := (&Sink{Secrets: []string{"x"}, Timeout: caddy.Duration(time.Minute)}).Validate(); err == nil {
		t.Error("a minute is taken")
	}
}
