package bearer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

const asking = "issuer {ISSUER}\naudience payroll\nintrospect {ISSUER}/introspect gate:way {env.BEARER_TEST_SECRET}\nclaim name username"

// answers has the issuer say this of every token.
func (r *rig) answers(f func(w http.ResponseWriter, r *http.Request)) { r.iss.answer.Store(&f) }

func (r *rig) says(pairs map[string]any) {
	r.answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text(pairs)) })
}

func (r *rig) active(more map[string]any) map[string]any {
	now := r.reg.Now().Unix()
	all := map[string]any{"active": true, "iss": r.iss.URL, "aud": "payroll", "sub": "u1", "username": "robot", "client_id": "c", "exp": now + 300, "iat": now, "token_type": "Bearer", "scope": "a b"}
	for k, v := range more {
		if all[k] = v; v == nil {
			delete(all, k)
		}
	}
	return all
}

func TestIntrospectionIsAClientVerifier(t *testing.T) {
	t.Parallel()
	r := newRig(t, asking)
	r.answers(func(w http.ResponseWriter, req *http.Request) {
		id, secret, _ := req.BasicAuth()
		if id != "gate%3Away" || secret != "s+e%3Acret" || req.PostFormValue("token_type_hint") != "access_token" || req.Method != http.MethodPost {
			t.Errorf("asked by %q, %q, %v", id, secret, req.PostForm)
		}
		if req.PostFormValue("token") != "opaque-1" {
			_, _ = io.WriteString(w, `{"active":false}`)
			return
		}
		_, _ = io.WriteString(w, text(r.active(nil)))
	})
	flowstest.TestClientVerifier(t, flowstest.Showing{
		Guest: r.p, Good: func() *flows.Request { return shows("opaque-1") }, Bad: []*flows.Request{shows("opaque-2"), shows("\xff"), shows("")},
	})
}

// TestB29IntrospectionIsRead: active, a bearer token, of our issuer, for us, now.
func TestB29IntrospectionIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, asking)
	now := r.reg.Now().Unix()
	for i, tc := range []struct {
		more map[string]any
		good bool
	}{
		{nil, true},
		{map[string]any{"token_type": nil}, true},
		{map[string]any{"token_type": "bearer"}, true},
		{map[string]any{"token_type": "access_token"}, true},
		{map[string]any{"iss": nil}, true},
		{map[string]any{"exp": nil}, true},
		{map[string]any{"aud": []any{"x", "payroll"}}, true},
		{map[string]any{"active": false}, false},
		{map[string]any{"token_type": "DPoP"}, false},
		{map[string]any{"token_type": "refresh_token"}, false},
		{map[string]any{"token_type": 7}, false},
		{map[string]any{"iss": "https://evil.example"}, false},
		{map[string]any{"aud": nil}, false},
		{map[string]any{"aud": "other"}, false},
		{map[string]any{"aud": []any{}}, false},
		{map[string]any{"exp": now - 61}, false},
		{map[string]any{"exp": "soon"}, false},
		{map[string]any{"nbf": now + 61}, false},
		{map[string]any{"sub": nil}, false},
		{map[string]any{"cnf": map[string]any{"jkt": "x"}}, false},
	} {
		r.says(r.active(tc.more))
		token := fmt.Sprintf("token-%d", i)
		if tc.good {
			r.takes(fmt.Sprint(tc.more), token)
		} else {
			r.refuses(fmt.Sprint(tc.more), token)
		}
	}
	// A signed token of another issuer is not shown to this one.
	asked := r.iss.asked.Load()
	if _, err := r.p.Presents(shows(r.claim("iss", "https://other.example"))); !errors.Is(err, flows.ErrForeign) || r.iss.asked.Load() != asked {
		t.Errorf("%v", err)
	}
	r.says(r.active(nil))
	r.takes("a signed one of its own is asked about, too", r.token(nil))
	r.refuses("malformed: nobody is asked", "a b")
}

// TestI16IntrospectionDownIsNoAnswer: whatever is no answer is no "no", and is not
// remembered.
func TestI16IntrospectionDownIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, asking)
	for what, f := range map[string]func(w http.ResponseWriter, r *http.Request){
		"our secret is wrong": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusUnauthorized) },
		"an error":            func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusInternalServerError) },
		"an error that says no": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, `{"active":false}`)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"not typed JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, text(r.active(nil)))
		},
		"no active":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"sub":"u1"}`) },
		"active as text": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"active":"true"}`) },
		"active twice": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"active":false,"active":true}`)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"active":true,"x":"`+strings.Repeat("x", maxAnswer)+`"}`)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"active":true`) },
		"leads elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/", http.StatusTemporaryRedirect)
		},
	} {
		r.answers(f)
		if p, err := r.judge(shows("opaque")); flows.ReasonOf(err) != flows.ReasonProviderDown || errors.Is(err, flows.ErrCredentials) || p.User.Subject != "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if r.p.Health() == nil {
		t.Error("nobody hears of it")
	}
	r.says(r.active(nil))
	r.takes("when it answers again", "opaque")
	if err := r.p.Health(); err != nil {
		t.Error(err)
	}
	r.iss.Close()
	if _, err := r.judge(shows("opaque")); flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("down: %v", err)
	}
}

// TestB27MadeUpTokensAreNoFlood: one that was no good is not asked about again for a
// while, and made-up ones use up the budget of their network, not of others.
func TestB27MadeUpTokensAreNoFlood(t *testing.T) {
	t.Parallel()
	r := newRig(t, asking)
	r.says(map[string]any{"active": false})
	for range 100 {
		r.refuses("the same", "expired-1")
	}
	if n := r.iss.asked.Load(); n != 1 {
		t.Errorf("asked %d times about one token", n)
	}
	r.reg.Forward(refusedFor + time.Second)
	r.refuses("after a while", "expired-1")
	if n := r.iss.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	slowed := 0
	for i := range 1000 {
		if _, err := r.judge(shows(fmt.Sprintf("made-up-%d", i))); flows.ReasonOf(err) == flows.ReasonTooManyTries {
			var wait *flows.WaitError
			if slowed++; !errors.As(err, &wait) || wait.Wait <= 0 {
				t.Fatal(err)
			}
		}
	}
	if n := r.iss.asked.Load(); n > int64(flows.LimitNetwork.Free)+3 || slowed < 900 {
		t.Errorf("asked %d times, slowed %d", n, slowed)
	}
	r.says(r.active(nil))
	other := shows("good")
	other.IP = "198.51.100.1"
	if _, err := r.judge(other); err != nil {
		t.Errorf("another network: %v", err)
	}
}
