package saml

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/adapters/internal/patience"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// sources survive reloads: the last good metadata, by where it comes from and
// our own name there.
var sources = caddy.NewUsagePool()

const (
	firstRetry  = time.Second      // after the first failed try
	lastRetry   = time.Minute      // the longest wait between two tries
	metadataAge = time.Hour        // a good document is looked at again after this, unless it says
	shortestAge = time.Minute      // whatever it says
	longestAge  = 24 * time.Hour   // whatever it says
	documentMax = 10 * time.Second // one try
	pinnedFor   = 100 * 365 * 24 * time.Hour
)

// source is one provider's published state. It implements caddy.Destructor.
type source struct {
	place string // a URL or a file

	mu       sync.Mutex
	client   *http.Client
	now      func() time.Time
	vault    flows.Vault
	was      []string // entityIDs it may have had before
	good     *idp
	at       time.Time // when good was read from its place; zero: it came from the store
	restored bool      // the store was asked
	tried    time.Time
	failed   time.Time // when the first try began of those that failed in a row; zero: the newest did not
	seen     stamp     // of the file that was read last
	err      error     // of the newest try; nil when it went well
	flight   *flight
}

// flight is one running try that everyone waits for.
type flight struct {
	done chan struct{}
	err  error
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

var errNotAsked = errors.New("metadata was not asked for yet")

func (s *SAML) acquire() error {
	key := s.source + "\x00" + s.entity
	v, _, err := sources.LoadOrNew(key, func() (caddy.Destructor, error) {
		return &source{place: s.source, err: errNotAsked}, nil
	})
	if err != nil {
		return err
	}
	s.src, s.held = v.(*source), key
	return nil
}

func (s *SAML) release() error {
	if s.held == "" {
		return nil
	}
	key := s.held
	s.held = ""
	_, err := sources.Delete(key)
	return err
}

// Destruct has nothing to close.
func (s *source) Destruct() error { return nil }

// lend gives the newest configuration's client, clock and vault to the shared state.
func (s *source) lend(c *http.Client, now func() time.Time, v flows.Vault, was []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.now, s.vault, s.was = c, now, v, was
}

// last is the last good metadata; nil when there never was any, or when it was
// good only until before now.
func (s *source) last() *idp {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil || s.good.expired(s.now()) {
		return nil
	}
	return s.good
}

// health is the error of the newest try, or that its result expired since.
func (s *source) health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.good != nil && s.good.expired(s.now()) {
		return fmt.Errorf("metadata of %s was valid until %s", s.good.EntityID, s.good.ValidUntil.UTC().Format(time.RFC3339))
	}
	return s.err
}

// discover reads the document once for all who wait. ctx bounds the wait, not the
// work: one browser that goes away must not fail the others.
func (s *source) discover(ctx context.Context) error {
	s.mu.Lock()
	f := s.flight
	if f == nil && s.good != nil && s.err == nil && !s.at.IsZero() && s.now().Sub(s.at) < time.Second && !s.changed() {
		s.mu.Unlock()
		return nil // a flight landed between the caller's look and this one
	}
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		s.tried = s.now()
		go s.fetch(context.WithoutCancel(ctx), f)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("metadata from %s: %w", s.place, ctx.Err())
	}
}

func (s *source) fetch(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, documentMax)
	defer cancel()
	m, saw, err := s.read(ctx)
	if err == nil {
		err = s.keep(ctx, m)
	}
	if err != nil {
		err = fmt.Errorf("metadata from %s: %w", s.place, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = saw
	if s.err = err; err == nil { // a bad document never replaces a good one
		s.at, s.failed = s.now(), time.Time{}
		if s.good == nil || !s.good.says(m) { // who looks for news finds the old one
			s.good = m
		}
	} else if s.failed.IsZero() {
		s.failed = s.tried
	}
	f.err, s.flight = err, nil
	close(f.done)
}

// read takes the document from its place. A file that could not be used is not
// read again before it changes.
func (s *source) read(ctx context.Context) (m *idp, saw stamp, err error) {
	defer outbound.Caught(&err)
	s.mu.Lock()
	client, now := s.client, s.now
	s.mu.Unlock()
	var doc []byte
	if isURL(s.place) {
		doc, err = download(ctx, client, s.place)
	} else {
		doc, saw, err = readFile(s.place)
	}
	if err != nil {
		return nil, saw, err
	}
	m, err = parseMetadata(doc, now())
	return m, saw, err
}

func download(ctx context.Context, c *http.Client, place string) ([]byte, error) {
	req, err := http.NewRequestWithContext(outbound.WithMaxBody(ctx, metadataBytes), http.MethodGet, place, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1")
	resp, err := c.Do(req)
	if err != nil {
		return nil, errors.New(outbound.Short(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", outbound.Clip(resp.Status, 60))
	}
	return bounded(resp.Body)
}

func readFile(name string) ([]byte, stamp, error) {
	saw, err := stampOf(name)
	if err != nil {
		return nil, saw, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, saw, err
	}
	defer func() { _ = f.Close() }()
	doc, err := bounded(f)
	return doc, saw, err
}

// stampOf refuses what is no plain file: reading a pipe would never end.
func stampOf(name string) (stamp, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	if !fi.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is no file", name)
	}
	return stamp{fi.Size(), fi.ModTime()}, nil
}

func bounded(r io.Reader) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(r, metadataBytes+1))
	switch {
	case errors.Is(err, outbound.ErrTooLarge), err == nil && len(doc) > metadataBytes:
		return nil, fmt.Errorf("it is longer than %d bytes", metadataBytes)
	case err != nil:
		return nil, errors.New(outbound.Short(err))
	}
	return doc, nil
}

// changed reports whether the file is not the one that was read last. The
// caller holds mu.
func (s *source) changed() bool {
	if isURL(s.place) {
		return false
	}
	saw, err := stampOf(s.place)
	return err != nil || saw != s.seen
}

func isURL(place string) bool {
	u, err := url.Parse(place)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http")
}

// record is what the store keeps of a provider's metadata: enough to log in
// before its server answers, and who it is.
type record struct {
	Place      string     `json:"place"`
	Entity     string     `json:"entity"`
	SSO        []endpoint `json:"sso"`
	SLO        []endpoint `json:"slo,omitempty"`
	Certs      [][]byte   `json:"certs"`
	Scopes     []string   `json:"scopes,omitempty"`
	WantSigned bool       `json:"want_signed,omitempty"`
	ValidUntil time.Time  `json:"valid_until,omitzero"`
}

const recordKey = "metadata"

func newRecord(place string, m *idp) record {
	r := record{Place: place, Entity: m.EntityID, SSO: m.SSO, SLO: m.SLO, Scopes: m.Scopes, WantSigned: m.WantSigned, ValidUntil: m.ValidUntil}
	for _, c := range m.Certs {
		r.Certs = append(r.Certs, c.Raw)
	}
	return r
}

// keep writes good metadata to the store and settles who is described at this
// place: the first entityID that was seen, on whichever node, until `was` says
// otherwise. A place that was never configured before is another matter: there the
// provider's name is bound by its first login (I05).
func (s *source) keep(ctx context.Context, m *idp) error {
	s.mu.Lock()
	vault, was, good := s.vault, s.was, s.good
	s.mu.Unlock()
	fresh, err := json.Marshal(newRecord(s.place, m))
	if err != nil {
		return err
	}
	other := ""
	err = vault.Update(ctx, recordKey, func(old []byte) (flows.Change, error) {
		other = ""
		var o record
		if json.Unmarshal(old, &o) == nil && o.Place == s.place && o.Entity != m.EntityID && !slices.Contains(was, o.Entity) {
			other = o.Entity
			return flows.Keep(), nil
		}
		if string(old) == string(fresh) {
			return flows.Keep(), nil
		}
		return flows.Set(fresh, pinnedFor), nil
	})
	switch {
	case other != "":
		return flows.Refuse(flows.ReasonIssuerChanged, fmt.Errorf("it describes '%s', but this provider is '%s'; if that is meant, write: was %s", m.EntityID, other, other))
	case err != nil && good != nil && good.EntityID == m.EntityID:
		return nil // the store is down, and the answer to the question is known
	case err != nil:
		return fmt.Errorf("reading who this provider is: %w", err)
	}
	return nil
}

// restore takes what the store kept of an earlier run, once.
func (s *source) restore(ctx context.Context) error {
	s.mu.Lock()
	done, vault := s.restored, s.vault
	s.mu.Unlock()
	if done {
		return nil
	}
	b, err := vault.Get(ctx, recordKey)
	if err != nil && !errors.Is(err, flows.ErrNotFound) {
		return err
	}
	m := parseRecord(b, s.place)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restored = true
	if s.good == nil && m != nil {
		s.good = m
	}
	return nil
}

// parseRecord answers nil for a record that is of no use, or of another place.
func parseRecord(b []byte, place string) *idp {
	var r record
	if json.Unmarshal(b, &r) != nil || r.Place != place || r.Entity == "" || len(r.SSO) == 0 {
		return nil
	}
	m := &idp{EntityID: r.Entity, SSO: r.SSO, SLO: r.SLO, Scopes: r.Scopes, WantSigned: r.WantSigned, ValidUntil: r.ValidUntil}
	for _, der := range r.Certs {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil
		}
		m.Certs = append(m.Certs, c)
	}
	if len(m.Certs) == 0 {
		return nil
	}
	return m
}

// peer answers the last good metadata at once. Without any a login waits for it.
func (s *SAML) peer(ctx context.Context) (*idp, error) {
	s.keepWarm()
	if err := s.src.restore(ctx); err != nil && s.src.last() == nil {
		return nil, flows.Refuse(flows.ReasonStoreDown, fmt.Errorf("reading kept metadata: %w", err))
	}
	s.src.lookAgain(ctx)
	if m := s.src.last(); m != nil {
		return m, nil
	}
	if err := patience.Wait(ctx, s.src.tries, s.src.discover, s.pause); err != nil {
		return nil, unavailable(err)
	}
	if m := s.src.last(); m != nil {
		return m, nil
	}
	return nil, unavailable(s.src.health())
}

// unavailable is why there is nobody to ask.
func unavailable(err error) error {
	var r *flows.Refusal
	switch {
	case errors.As(err, &r):
		return flows.Refuse(r.Reason, err)
	case errors.Is(err, flows.ErrUnavailable):
		return flows.Refuse(flows.ReasonStoreDown, err)
	}
	return flows.Refuse(flows.ReasonProviderDown, err)
}

// lookAgain reads a file anew that changed; one that is no good leaves the last
// good one in its place.
func (s *source) lookAgain(ctx context.Context) {
	s.mu.Lock()
	changed := s.good != nil && s.changed()
	s.mu.Unlock()
	if changed && s.tries().JustFailed() == nil {
		_ = s.discover(ctx) // Health and the log tell
	}
}

// tries is how reading the metadata went until now.
func (s *source) tries() (t patience.Tries) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.flight == nil && !s.tried.IsZero() {
		t.Err, t.Ago = s.err, now.Sub(s.tried)
	}
	if !s.failed.IsZero() {
		t.Failing = now.Sub(s.failed)
	}
	return t
}

// again looks for metadata newer than m, for a signature by a key that m does
// not know: keys are rolled over between two looks. It asks at most once a
// minute, because anybody can send such a signature, and answers nil if there is
// nothing newer.
func (s *SAML) again(ctx context.Context, m *idp) *idp {
	if newer := s.src.last(); newer != nil && newer != m {
		return newer
	}
	s.src.mu.Lock()
	soon := !s.src.tried.IsZero() && s.src.now().Sub(s.src.tried) < time.Minute
	s.src.mu.Unlock()
	if soon {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience.Login)
	defer cancel()
	if s.src.discover(ctx) != nil {
		return nil
	}
	if newer := s.src.last(); newer != m {
		return newer
	}
	return nil
}

// Health answers nil when the newest look at the metadata went well.
func (s *SAML) Health() error { return s.src.health() }
