package flows_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// paper signs nothing: it keeps what it was to sign.
type paper struct{ last flows.Token }

func (p *paper) Issuer(f *flows.Facts) string { return f.Origin() }

func (p *paper) Sign(t flows.Token) (string, error) {
	p.last = t
	return "signed", nil
}

// slip is a HeaderWriter that keeps what came last.
type slip struct {
	name, value string
	max         int
	until       time.Time
}

func (s *slip) Set(name string, values []string, o flows.HeaderOptions) error {
	s.name, s.value, s.max = name, strings.Join(values, "|"), o.Max
	return nil
}

func (s *slip) Until(t time.Time) { s.until = t }

func TestAssertingTimes(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 700e6, time.UTC)
	for _, c := range []struct {
		name      string
		ttl, left time.Duration
		good      time.Duration // after the whole second
		anew      time.Duration // after now
	}{
		{"the default", 0, time.Hour, time.Minute, 29650 * time.Millisecond},
		{"configured", 10 * time.Minute, time.Hour, 10 * time.Minute, 299650 * time.Millisecond},
		{"the session ends first", time.Minute, 20 * time.Second, 20 * time.Second, 9650 * time.Millisecond},
		{"no session", time.Minute, 0, time.Minute, 29650 * time.Millisecond},
	} {
		f := &flows.Facts{User: &flows.User{Key: "a:b"}, Now: now}
		if c.left > 0 {
			f.Session = &flows.SessionFacts{Expires: now.Add(c.left)}
		}
		a := &flows.Asserting{TTL: flows.Duration(c.ttl)}
		p, w := &paper{}, &slip{}
		if err := a.Send(f, p, a.Token(f, p, "ES256", "a:b"), w, "X-T", 0); err != nil {
			t.Fatal(err)
		}
		if good := p.last.Expires.Sub(now.Truncate(time.Second)); good != c.good || p.last.Claims["exp"] != p.last.Expires.Unix() || p.last.Claims["iat"] != now.Unix() {
			t.Errorf("%s: good for %v: %v", c.name, good, p.last.Claims)
		}
		if anew := w.until.Sub(now); anew != c.anew || w.name != "X-T" || w.value != "signed" || w.max != flows.LongestToken {
			t.Errorf("%s: anew after %v, written %+v", c.name, anew, w)
		}
	}
}

func TestAssertingClaims(t *testing.T) {
	f := &flows.Facts{
		Request: &flows.Request{Scheme: "https", Host: "app.example.com"},
		User:    &flows.User{Name: "alice", Groups: []string{"", "staff"}, Attributes: map[string]any{"no": float64(7), "list": []any{"a", "b"}, "deep": map[string]any{"x": true}}},
	}
	a := &flows.Asserting{Claims: []flows.MappedClaim{{"sub", "no"}, {"deep", "deep"}, {"list", "list"}, {"name", "nosuch"}, {"gone", "nosuch"}}}
	p := &paper{}
	tok := a.Token(f, p, "ES256", "a:b")
	tok.Put("name", "alice")
	tok.Put("groups", f.User.Groups)
	tok.Put("email", "")
	if err := a.Send(f, p, tok, &slip{}, "X-T", 99); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p.last.Claims)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"aud":"https://app.example.com","deep":{"x":true},"exp":-62135596740,"groups":["staff"],"iat":-62135596800,"iss":"https://app.example.com","list":["a","b"],"sub":"7"}`
	if string(b) != want {
		t.Errorf("claims %s\nwant   %s", b, want)
	}
	a.Claims[0].Attribute = "nosuch"
	if err := a.Send(f, p, a.Token(f, p, "ES256", "a:b"), &slip{}, "X-T", 0); flows.ReasonOf(err) != flows.ReasonNameMissing {
		t.Errorf("a token of nobody: %v", err)
	}
}

// TestAssertingJSON: what only JSON can have wrong.
func TestAssertingJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"ttl":"90s"}`:                                "",
		`{"ttl":90000000000}`:                          "",
		`{"audience":["a"],"issuer":"b"}`:              "",
		`{"ttl":"soon"}`:                               "invalid duration",
		`{"ttl":"-1m"}`:                                "ttl must be between 1s and 24h",
		`{"ttl":5}`:                                    "ttl must be between 1s and 24h",
		`{"ttl":"25h"}`:                                "ttl must be between 1s and 24h",
		`{"audience":[""]}`:                            "a name must not be empty",
		`{"claims":[{"attribute":"a"}]}`:               "its name must not be empty",
		`{"claims":[{"claim":"a"}]}`:                   "'' is no attribute",
		`{"claims":[{"claim":"nbf","attribute":"a"}]}`: "claim nbf",
		`{"claims":[{"claim":"a","attribute":"b"},{"claim":"a","attribute":"c"}]}`: "claim a is written twice",
	} {
		var a flows.Asserting
		err := errors.Join(json.Unmarshal([]byte(text), &a), a.Validate())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
