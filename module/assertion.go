package module

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/signing"
	"github.com/sallyport-gateway/sallyport/headers"
)

// mayAssert gives a dialect that sends tokens the keys to sign them with.
func (a *App) mayAssert(d flows.Dialect) error {
	s, ok := d.(flows.Asserter)
	if !ok || len(s.Algorithms()) == 0 { // an own dialect may have a base that signs, or not
		return nil
	}
	for _, algorithm := range s.Algorithms() {
		if err := a.signing.Use(algorithm); err != nil {
			return err
		}
	}
	s.Assert(&a.signing)
	if p, ok := d.(flows.KeyPublisher); ok {
		a.ownedMu.Lock()
		defer a.ownedMu.Unlock()
		a.publishers = append(a.publishers, p)
	}
	return nil
}

// shows adds the attributes that a dialect's claims show to the application.
func (p *Protect) shows(d flows.Dialect) {
	if s, ok := d.(interface{ Attributes() []string }); ok {
		p.attributes = append(p.attributes, s.Attributes()...)
	}
}

// build evaluates the headers of a session. With a token among them the keys must
// be there, and it ends with the session on this route.
func (v *visit) build() (headers.Prebuilt, error) {
	if !v.p.plan.Asserts() {
		return v.p.plan.Build(v.facts())
	}
	if err := v.app.signing.Prepare(v.r.Context()); err != nil {
		return headers.Prebuilt{}, err
	}
	return v.p.plan.Build(v.routeFacts())
}

// routeFacts are the facts with a session that ends with its limits on this route.
func (v *visit) routeFacts() *flows.Facts {
	f := *v.facts()
	if done, ok := v.session.Finished(v.p.Flow); ok && v.p.life > 0 && done.Add(v.p.life).Before(f.Session.Expires) {
		s := *f.Session
		s.Expires = done.Add(v.p.life)
		f.Session = &s
	}
	return &f
}

// tendKeys has keys made, and the next ones published before they sign. Who needs
// one hears the error; otherwise the store's troubles are told elsewhere.
func (a *App) tendKeys(ctx context.Context) {
	t := time.NewTicker(10 * time.Second)
	defer t.Stop()
	for {
		a.aside("tending the signing keys", func() {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_ = a.signing.Prepare(ctx)
		})
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// jwks answers /.identity/jwks.json: the keys that verify our tokens, to anybody.
func (v *visit) jwks() error {
	keys, err := v.app.signing.Public(v.r.Context())
	if err != nil {
		return v.unavailable(err)
	}
	b, err := json.Marshal(flows.JWKS(keys))
	if err != nil {
		return err
	}
	return v.publish(flows.Document{Type: "application/json", Body: append(b, '\n')})
}

// keyDocument answers the documents that dialects have in the place of jwks.json.
func (v *visit) keyDocument() (found bool, err error) {
	path := strings.TrimPrefix(v.r.URL.Path, "/.identity")
	v.app.ownedMu.Lock()
	publishers := v.app.publishers
	v.app.ownedMu.Unlock()
	if len(publishers) == 0 {
		return false, nil
	}
	keys, err := v.app.signing.Public(v.r.Context())
	if err != nil {
		return true, v.unavailable(err)
	}
	for _, p := range publishers {
		doc, err := p.PublishKeys(path, keys)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err != nil {
			return true, err
		}
		return true, v.method(func() error { return v.publish(doc) }, http.MethodGet, http.MethodHead)
	}
	return false, nil
}

// publish answers a document that is the same for all, and may be kept for a while.
func (v *visit) publish(d flows.Document) error {
	h := v.w.Header()
	h.Set("Content-Type", d.Type)
	h.Set("Content-Length", strconv.Itoa(len(d.Body)))
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(signing.MaxAge/time.Second)))
	h.Set("X-Content-Type-Options", "nosniff")
	v.w.WriteHeader(http.StatusOK)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(d.Body)
	}
	return nil
}
