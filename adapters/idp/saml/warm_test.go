package saml

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"
)

// While metadata cannot be had it is asked for after 1 s to 60 s, then as often
// as it says (B19).
func TestB19MetadataWarm(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	var waits []time.Duration
	r.s.keepFresh(t.Context(), func(_ context.Context, d time.Duration) bool {
		waits = append(waits, d/time.Second)
		if len(waits) == 8 {
			r.place.set(description{cache: "PT10M"}.String())
		}
		r.reg.Forward(d)
		return len(waits) < 10
	})
	if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 600, 600}; !slices.Equal(waits, want) {
		t.Errorf("waits = %v, want %v seconds", waits, want)
	}
	if n := r.place.count(); n != 10 {
		t.Errorf("asked %d times, want 8 in vain and 2 well", n)
	}
}

// The loop ends with its context and with the configuration.
func TestB19WarmEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	for _, end := range []func(context.CancelFunc){
		func(cancel context.CancelFunc) { cancel() },
		func(context.CancelFunc) { r.s.stop() },
	} {
		r.s.warming.Store(false)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { r.s.Warm(ctx); close(done) }()
		end(cancel)
		<-done
		cancel()
	}
}

// A crowd of logins that finds no metadata waits for one look at it.
func TestB19ManyWaitingLogins(t *testing.T) {
	t.Parallel()
	r := newRig(t, description{}, nil)
	hold := make(chan struct{})
	doc := description{}.String()
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) {
		<-hold
		_, _ = w.Write([]byte(doc))
	})
	errs := make(chan error, 100)
	for range cap(errs) {
		go func() {
			_, err := r.s.peer(t.Context())
			errs <- err
		}()
	}
	close(hold)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := r.place.count(); n != 1 {
		t.Errorf("asked %d times for %d logins", n, cap(errs))
	}
	// Who goes away does not take the document from the others.
	r.place.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(doc)) })
	s := r.guest(func(s *SAML) { s.Metadata, s.EntityID = r.place.URL+"/other", "urn:away" })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.src.discover(gone)
	if err := s.src.discover(t.Context()); err != nil || s.src.last() == nil {
		t.Errorf("after one that went away: %v", err)
	}
}
