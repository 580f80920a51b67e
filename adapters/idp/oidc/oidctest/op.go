// Package oidctest is an OpenID Connect provider for tests: well-behaved until
// it is told to play an attacker, one named mode at a time.
package oidctest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Secret is the client secret of every OP; its letters need escaping (RFC 6749 §2.3.1).
const Secret = "s3cret/+&=%"

// OP is a provider on loopback. Its methods may be called concurrently.
type OP struct {
	// Issuer is its issuer URL, http://127.0.0.1:<port>.
	Issuer string
	// ClientID and ClientSecret are those of the one client it knows.
	ClientID, ClientSecret string

	t      testing.TB
	server *httptest.Server
	closed chan struct{}

	mu       sync.Mutex
	now      func() time.Time
	mode     Mode
	user     map[string]any
	info     map[string]any
	down     bool
	keysDown bool
	keys     []*Key
	authKey  any
	methods  []string
	codes    map[string]*grant
	refresh  map[string]*grant
	used     map[string]string // refresh token → family, once used up
	still    bool              // refresh tokens do not rotate
	access   map[string]*grant
	requests []url.Values
	ended    []url.Values
	counts   Counts
	tokenReq []url.Values
	calls    []Call
	issued   []Issued
	onEnd    func(url.Values)
}

// Call is one request that came to the provider.
type Call struct {
	// Path is the endpoint, as /token.
	Path, Method, Authorization string
	// Query is the address's, Form the body's.
	Query, Form url.Values
}

// Issued is one good answer of the token endpoint, as it was sent.
type Issued struct{ IDToken, AccessToken, RefreshToken string }

// Counts is how often each endpoint was asked.
type Counts struct{ Discovery, Keys, Authorize, Token, Refresh, UserInfo, EndSession int }

// grant is what a code or token stands for.
type grant struct {
	redirect, nonce, challenge, scope string
	user                              map[string]any
	authTime                          int64
	refresh                           bool
	// family is what all refresh tokens of one login have in common.
	family string
}

// New starts a provider that ends with the test.
func New(t testing.TB) *OP {
	t.Helper()
	return NewAt(t, "")
}

// NewAt starts a provider whose issuer has a path, as /tenant/v2.0. Its documents
// are found below the others, too, as of providers that know a tenant by several names.
func NewAt(t testing.TB, path string, others ...string) *OP {
	t.Helper()
	op := &OP{
		ClientID: "gateway", ClientSecret: Secret, t: t, now: time.Now, closed: make(chan struct{}),
		user:    map[string]any{"sub": "u-alice", "preferred_username": "alice", "name": "Alice Liddell", "email": "alice@example.com", "email_verified": true},
		codes:   map[string]*grant{},
		refresh: map[string]*grant{},
		used:    map[string]string{},
		access:  map[string]*grant{},
		keys:    []*Key{newKey("RS256")},
		methods: []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
	}
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": op.discovery, "/keys": op.jwks, "/authorize": op.authorize,
		"/token": op.token, "/userinfo": op.userinfo, "/end": op.endSession,
	} {
		mux.HandleFunc(path, h)
		mux.HandleFunc(path+"/", h) // where a discovery document may move it
	}
	at := http.Handler(mux)
	if path != "" {
		all := http.NewServeMux()
		for _, p := range append(others, path) {
			all.Handle(p+"/", http.StripPrefix(p, mux))
		}
		at = all
	}
	op.server = httptest.NewServer(op.gate(at))
	op.Issuer = op.server.URL + path
	t.Cleanup(func() {
		close(op.closed)
		op.server.CloseClientConnections()
		op.server.Close()
	})
	return op
}

// gate writes down what came, and drops the connection while the provider is down.
func (op *OP) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op.mu.Lock()
		down := op.down
		op.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		_ = r.ParseForm()
		c := Call{Path: r.URL.Path, Method: r.Method, Authorization: r.Header.Get("Authorization"), Query: r.URL.Query(), Form: maps.Clone(r.PostForm)}
		op.with(func() { op.calls = append(op.calls, c) })
		next.ServeHTTP(w, r)
	})
}

// SetClock makes the provider live in another time.
func (op *OP) SetClock(now func() time.Time) { op.with(func() { op.now = now }) }

// SetUser sets the claims of whoever signs in next; sub is one of them.
func (op *OP) SetUser(claims map[string]any) { op.with(func() { op.user = maps.Clone(claims) }) }

// SetUserInfo sets what UserInfo answers; nil: the user's claims.
func (op *OP) SetUserInfo(claims map[string]any) { op.with(func() { op.info = maps.Clone(claims) }) }

// SetMode makes the provider behave as the named mode; "" is well-behaved.
func (op *OP) SetMode(name string) {
	op.t.Helper()
	m, ok := Modes[name]
	if !ok && name != "" {
		op.t.Fatalf("oidctest: no mode is called %q", name)
	}
	op.SetBehaviour(m)
}

// SetBehaviour makes the provider behave as a mode that has no name.
func (op *OP) SetBehaviour(m Mode) { op.with(func() { op.mode = m }) }

// SetDown drops every connection without an answer, or no longer.
func (op *OP) SetDown(down bool) { op.with(func() { op.down = down }) }

// SetKeysDown makes only the key endpoint answer 500.
func (op *OP) SetKeysDown(down bool) { op.with(func() { op.keysDown = down }) }

// SetKeys publishes these keys; the first one signs.
func (op *OP) SetKeys(keys ...*Key) { op.with(func() { op.keys = keys }) }

// Keys are the published keys; the first one signs.
func (op *OP) Keys() []*Key {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.keys)
}

// Rotate replaces all keys by a new one.
func (op *OP) Rotate() { op.SetKeys(newKey("RS256")) }

// SetClientKey requires private_key_jwt by this public key.
func (op *OP) SetClientKey(public any) { op.with(func() { op.authKey = public }) }

// SetTokenAuth announces and enforces these ways of client authentication.
func (op *OP) SetTokenAuth(methods ...string) { op.with(func() { op.methods = methods }) }

// SetRotating says whether a refresh token is good for one use. It is, and who
// shows a used one again loses the whole family (RFC 9700 §4.14.2).
func (op *OP) SetRotating(on bool) { op.with(func() { op.still = !on }) }

// RevokeAll makes every refresh token invalid.
func (op *OP) RevokeAll() { op.with(func() { clear(op.refresh) }) }

// Families is how many logins have a refresh token that is good.
func (op *OP) Families() int {
	op.mu.Lock()
	defer op.mu.Unlock()
	seen := map[string]bool{}
	for _, g := range op.refresh {
		seen[g.family] = true
	}
	return len(seen)
}

// Counts is how often each endpoint was asked so far.
func (op *OP) Counts() Counts {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.counts
}

// Requests are the authorization requests so far.
func (op *OP) Requests() []url.Values {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.requests)
}

// TokenRequests are the forms sent to the token endpoint so far.
func (op *OP) TokenRequests() []url.Values {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.tokenReq)
}

// Calls are all requests so far, in the order they came.
func (op *OP) Calls() []Call {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.calls)
}

// Issued are the tokens so far.
func (op *OP) Issued() []Issued {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.issued)
}

// OnEnd is called with each logout request before it is answered: the place to
// tell other parties.
func (op *OP) OnEnd(f func(url.Values)) { op.with(func() { op.onEnd = f }) }

// Ended are the logout requests so far.
func (op *OP) Ended() []url.Values {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.Clone(op.ended)
}

func (op *OP) with(f func()) {
	op.mu.Lock()
	defer op.mu.Unlock()
	f()
}
