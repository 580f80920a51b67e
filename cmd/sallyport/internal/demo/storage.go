package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	requestLife = 10 * time.Minute
	tokenLife   = 10 * time.Minute
	maxRequests = 1000
)

var (
	errUnknown  = errors.New("not known here")
	errNotHere  = errors.New("the demo's provider does not do this")
	errTooMany  = errors.New("too many sign-ins under way")
	errNoSecret = errors.New("client refused")
)

// storage is the memory of the demo's provider. Nothing of it is written down.
type storage struct {
	key    signingKey
	client client

	mu       sync.Mutex
	requests map[string]*authRequest
	codes    map[string]string  // code → request
	tokens   map[string]token   // access token id → whose
	sessions map[string]session // the provider's own cookie → who
}

type token struct {
	subject string
	scopes  []string
	expires time.Time
}

type session struct {
	subject  string
	authTime time.Time
}

func newStorage(key signingKey, c client) *storage {
	return &storage{
		key: key, client: c,
		requests: map[string]*authRequest{}, codes: map[string]string{},
		tokens: map[string]token{}, sessions: map[string]session{},
	}
}

func (s *storage) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if asked.CodeChallenge == "" || asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("this provider wants PKCE with S256")
	}
	if slices.Contains(asked.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if len(s.requests) >= maxRequests {
		return nil, oidc.ErrServerError().WithParent(errTooMany)
	}
	a := &authRequest{id: rand.Text(), asked: asked, created: time.Now()}
	s.requests[a.id] = a
	return a, nil
}

// sweep forgets what was never finished; the caller holds the lock.
func (s *storage) sweep() {
	for id, a := range s.requests {
		if time.Since(a.created) > requestLife {
			delete(s.requests, id)
		}
	}
	for code, id := range s.codes {
		if s.requests[id] == nil {
			delete(s.codes, code)
		}
	}
	for id, t := range s.tokens {
		if time.Now().After(t.expires) {
			delete(s.tokens, id)
		}
	}
}

// finish notes who signed in and starts the provider's own session.
func (s *storage) finish(id, subject string) (cookie string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.requests[id]
	if a == nil || a.Done() {
		return "", errUnknown
	}
	a.subject, a.authTime = subject, time.Now()
	cookie = rand.Text()
	s.sessions[cookie] = session{subject, a.authTime}
	return cookie, nil
}

// resume finishes a request for whoever is signed in at the provider already.
func (s *storage) resume(id, cookie string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, known := s.requests[id], s.sessions[cookie]
	if a == nil || a.Done() || known.subject == "" || slices.Contains(a.asked.Prompt, oidc.PromptLogin) {
		return false
	}
	if age := a.asked.MaxAge; age != nil && time.Since(known.authTime) > time.Duration(*age)*time.Second {
		return false
	}
	a.subject, a.authTime = known.subject, known.authTime
	return true
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.requests[id]; a != nil {
		return a, nil
	}
	return nil, errUnknown
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// AuthRequestByCode takes the code away: it is good once (RFC 6749 §4.1.2).
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.requests[s.codes[code]]
	delete(s.codes, code)
	if a == nil {
		return nil, errUnknown
	}
	return a, nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, expires := rand.Text(), time.Now().Add(tokenLife)
	s.tokens[id] = token{r.GetSubject(), r.GetScopes(), expires}
	return id, expires, nil
}

// TerminateSession ends every sign-in of this person at the provider.
func (s *storage) TerminateSession(_ context.Context, subject, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cookie, known := range s.sessions {
		if known.subject == subject {
			delete(s.sessions, cookie)
		}
	}
	for id, t := range s.tokens {
		if t.subject == subject {
			delete(s.tokens, id)
		}
	}
	return nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }
func (s *storage) KeySet(context.Context) ([]op.Key, error)          { return []op.Key{publicKey{s.key}}, nil }
func (s *storage) Health(context.Context) error                      { return nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.id {
		return nil, errUnknown
	}
	return s.client, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != s.client.id || subtle.ConstantTimeCompare([]byte(secret), []byte(s.client.secret)) != 1 {
		return errNoSecret
	}
	return nil
}

var _ op.Storage = (*storage)(nil)
