package saml

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestI23CheckReadsTheMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	for range 2 {
		n := r.place.count()
		if err := r.s.Check(t.Context()); err != nil || r.place.count() != n+1 {
			t.Fatalf("%v, asked %d times", err, r.place.count()-n)
		}
	}
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if err := r.s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("got %v", err)
	}
	r.place.answer(nil)
	r.place.set(description{until: "2026-02-28T00:00:00Z"}.String())
	if err := r.s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "was valid until") {
		t.Errorf("got %v", err)
	}
}

// A file says nothing about the far side: the address that logins go to does.
func TestI23CheckOfAFileAsksWhereLoginsGo(t *testing.T) {
	t.Parallel()
	var answer atomic.Int64
	sso := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://login.elsewhere.example/")
		w.WriteHeader(int(answer.Load()))
	}))
	defer sso.Close()
	r := newRig(t, description{}, nil)
	name := filepath.Join(t.TempDir(), "idp.xml")
	doc := description{sso: []endpoint{{Binding: redirectBinding, Location: sso.URL + "/sso"}}}
	if err := os.WriteFile(name, []byte(doc.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := r.guest(func(s *SAML) { s.Metadata = name })
	for status, up := range map[int]bool{200: true, 302: true, 400: true, 405: true, 500: true, 502: false, 503: false, 504: false} {
		answer.Store(int64(status))
		if err := s.Check(t.Context()); (err == nil) != up {
			t.Errorf("%d: %v", status, err)
		}
	}
	sso.Close()
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(sso.URL, "http://")) {
		t.Errorf("nobody there: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("without a file")
	}
}
