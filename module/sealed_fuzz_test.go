package module

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
)

// sealing is a visit of a browser at an origin, with keys and nothing else.
func sealing(f *testing.F, origin string) *visit {
	f.Helper()
	ring, err := flowsession.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	a := &App{Config: Config{Session: &SessionConfig{Cookie: "sallyport"}}, state: &state{}}
	a.keys = keyLoader{mu: new(sync.Mutex), have: ring}
	scheme, host, _ := strings.Cut(origin, "://")
	return &visit{app: a, r: httptest.NewRequest(http.MethodGet, origin+"/", nil), place: newPlace(scheme, host, a.Session)}
}

// No state opens but the one that was sealed here, for this origin (O1).
func FuzzState(f *testing.F) {
	here, there := sealing(f, "https://app.example"), sealing(f, "https://other.example")
	token := stateToken{Pending: newPendingID(time.Unix(1, 0)), Serial: 1, Provider: "corp", ReturnTo: "/a", Expires: 1}
	good, err := here.sealState(token)
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := there.sealState(token)
	if err != nil {
		f.Fatal(err)
	}
	b, _ := json.Marshal(token)
	other, err := here.app.keys.have.Seal("device", here.place.origin, b)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, foreign, base64.RawURLEncoding.EncodeToString(other), base64.RawURLEncoding.EncodeToString(b), string(b), good + "=", good[:len(good)-1], good + "\n", "", "a", "%", strings.Repeat("A", 9000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := here.openState(s)
		if s == good && err != nil {
			t.Fatal(err)
		}
		got.Pending = "" // each process of a fuzzing run has sealed its own
		if want := (stateToken{Serial: 1, Provider: "corp", ReturnTo: "/a", Expires: 1}); err == nil && got != want {
			t.Fatalf("%q: %+v, %v", s, got, err)
		}
	})
}

// No short handle names a pending login but one that was sealed here, for this
// origin; and whatever a RelayState is, it is nothing else (S8).
func FuzzShortHandle(f *testing.F) {
	here, there := sealing(f, "https://app.example"), sealing(f, "https://other.example")
	id := strings.Repeat("a", 16) // the same in each process of a fuzzing run
	good, err := here.shortHandle(id, 7, 2)
	if err != nil || len(good) > 80 {
		f.Fatalf("%q: %v", good, err)
	}
	foreign, err := there.shortHandle(id, 7, 2)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, foreign, good + "=", good[:len(good)-1], good + "\n", id + "-7-2-", id + "-7-2", id + "--7-2-x", "https://evil.example/", "", "---", strings.Repeat("a-", 50)} {
		f.Add(s)
	}
	for _, s := range corpus(f, "redirects.txt", 1) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ours, err := here.openShort(s)
		if err != nil || ours != (s == good) {
			t.Fatalf("%q: ours %v, %v", s, ours, err)
		}
		if want := (stateToken{Pending: id, Serial: 7, Attempt: 2, ReturnTo: "/"}); ours && got != want {
			t.Fatalf("%q: %+v", s, got)
		}
		if !ours && got != (stateToken{}) {
			t.Fatalf("%q: %+v", s, got)
		}
	})
}

// No cookie line makes a pending login, a session or a known device of nothing,
// and an unfinished login opens under its own name and origin only (I08).
func FuzzCookies(f *testing.F) {
	here, there := sealing(f, "https://app.example"), sealing(f, "https://other.example")
	id := newPendingID(time.Unix(1, 0))
	x := &flows.Execution{ID: "x", Flow: "default", Origin: here.place.origin, Expires: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}
	save := func(v *visit, id string) (pair string) {
		rec := httptest.NewRecorder()
		v.w = rec
		if err := v.savePending(id, x); err != nil {
			f.Fatal(err)
		}
		pair, _, _ = strings.Cut(rec.Header().Get("Set-Cookie"), ";")
		return pair
	}
	good, foreign := save(here, id), save(there, id)
	_, value, _ := strings.Cut(good, "=")
	for _, s := range []string{
		good, "a=1; " + good + "; b=2", foreign, here.pendingName(id) + "=x", here.pendingName("0000000000000000") + "=" + value, here.pendingName("") + "=" + value,
		here.recentName() + "=3.1", here.recentName() + "=-1.-1", here.recentName() + "=99999999999999999999.1", here.deviceName() + "=AAAA", here.place.cookie + "=" + strings.Repeat("A", 43),
		"", ";", "=", ";;=;", strings.Repeat("a=b;", 500), here.place.cookie, `x="` + good + `"`, "\x00=\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		v := *here
		v.cookies = []string{line}
		ids, size := v.pendings()
		for _, s := range ids {
			if !validPendingID(s) || size[s] <= 0 {
				t.Fatalf("%q: %q has %d bytes", line, s, size[s])
			}
		}
		got, err := v.loadPending(id)
		if err != nil && !errors.Is(err, errNoPending) {
			t.Fatalf("%q: %v", line, err)
		}
		if err == nil && (got.ID != "x" || got.Origin != here.place.origin) {
			t.Fatalf("%q: %+v", line, got)
		}
		if n := v.recentLogins(time.Unix(1, 0)); n < 0 || n > maxAttempts {
			t.Fatalf("%q: %d recent logins", line, n)
		}
		if d := v.device("alice"); d != "" {
			t.Fatalf("%q: a known device", line)
		}
	})
}
