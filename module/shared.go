package module

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"github.com/sallyport-gateway/sallyport/flows"
	flowsession "github.com/sallyport-gateway/sallyport/flows/session"
	"github.com/sallyport-gateway/sallyport/module/session"
)

// ReasonExpired is the end of a session whose time was over.
const ReasonExpired flows.Reason = "expired"

// clock is the hall's time; tests turn it.
var clock atomic.Pointer[func() time.Time]

// Now is the time everything here and every guest goes by.
func Now() time.Time {
	if f := clock.Load(); f != nil {
		return (*f)()
	}
	return time.Now()
}

// SetClock replaces the time, for tests; nil restores it.
func SetClock(f func() time.Time) {
	if f == nil {
		clock.Store(nil)
		return
	}
	clock.Store(&f)
}

// setClock lends a guest the hall's time.
func setClock(guest any) {
	if c, ok := guest.(interface{ SetClock(func() time.Time) }); ok {
		c.SetClock(Now)
	}
}

// pool keeps what survives reloads.
var pool = caddy.NewUsagePool()

const sharedKey = "identity"

// shared is what all generations of the config have in common.
type shared struct {
	mu sync.Mutex
	// caches are kept by where their sessions are stored.
	caches  *caddy.UsagePool
	budgets *flows.Budgets
	// held are requests that wait for their people to sign in (I21).
	held *session.Held
	// clients are programs that showed who they are.
	clients *session.Clients
	metrics *metrics
	// ending are sessions that the store could not end yet, by id.
	ending   map[string]ending
	retrying atomic.Bool
	// judged are how providers stand by this node's checks.
	judged map[string]*judged
}

// Destruct implements caddy.Destructor.
func (s *shared) Destruct() error { return nil }

// lent is what one config holds of all that. A config with another store has
// another cache: if it is refused or only validated, the running one's sessions
// and their streams are not touched (B18).
type lent struct {
	*shared
	cache *session.Cache
	where string // of the cache, while it is held
}

// pooledCache makes a cache a value of the pool.
type pooledCache struct{ *session.Cache }

// Destruct implements caddy.Destructor.
func (pooledCache) Destruct() error { return nil }

// budgetSlots is the size of the table of wrong answers: 2 × 64 Ki × 56 bytes = 7 MiB.
const budgetSlots = 64 << 10

func (a *App) provisionShared(caddy.Context) error {
	v, _, err := pool.LoadOrNew(sharedKey, func() (caddy.Destructor, error) {
		clients, err := session.NewClients(session.ClientsSize)
		return &shared{caches: caddy.NewUsagePool(), budgets: flows.NewBudgets(budgetSlots, Now), held: session.NewHeld(Now), clients: clients, metrics: newMetrics()}, err
	})
	if err != nil {
		return err
	}
	a.shared.shared, a.held = v.(*shared), true
	return nil
}

func (a *App) releaseShared() {
	if !a.held {
		return
	}
	a.held = false
	if a.shared.where != "" {
		_, _ = a.shared.caches.Delete(a.shared.where)
	}
	_, _ = pool.Delete(sharedKey)
}

// useCache takes the cache of the store at where.
func (l *lent) useCache(where string) error {
	v, _, err := l.caches.LoadOrNew(where, func() (caddy.Destructor, error) {
		c, err := session.NewCache(session.CacheSize)
		return pooledCache{c}, err
	})
	if err != nil {
		return err
	}
	l.cache, l.where = v.(pooledCache).Cache, where
	return nil
}

// keyLoader gives the cluster's ring: the configured keys, or one that is made
// lazily in Caddy's storage, under its lock.
type keyLoader struct {
	mu      *sync.Mutex
	have    *flowsession.Keyring
	storage certmagic.Storage
	made    func()
}

func (a *App) provisionKeys(ctx caddy.Context) error {
	a.keys = keyLoader{mu: new(sync.Mutex), storage: ctx.Storage()}
	a.keys.made = func() { a.log.Info("made a new cluster key in Caddy's storage") }
	if len(a.Keys) == 0 {
		return nil
	}
	repl := caddy.NewReplacer()
	var secrets [][]byte
	for i, k := range a.Keys {
		v, err := repl.ReplaceOrErr(k, true, true)
		if err != nil {
			return fmt.Errorf("keys: key %d: %w", i+1, err)
		}
		if v == k {
			a.log.Warn("a cluster key is written in clear: it can be read in /config/ and autosave.json; use {file./…} or {env.…}")
		}
		if len(v) < flowsession.MinSecret {
			return fmt.Errorf("keys: key %d has %d bytes; at least %d are needed", i+1, len(v), flowsession.MinSecret)
		}
		secrets = append(secrets, []byte(v))
	}
	ring, err := flowsession.NewKeyring(secrets...)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	a.keys.have = ring
	return nil
}

const keyPath = "sallyport/keys/cluster"

func (k *keyLoader) ring(ctx context.Context) (*flowsession.Keyring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.have != nil {
		return k.have, nil
	}
	t := thinks(ctx)
	if t != nil && t.offline {
		return nil, noKey()
	}
	secret, err := k.load(ctx)
	if t != nil && errors.Is(err, fs.ErrNotExist) {
		return nil, noKey()
	}
	if err != nil {
		return nil, fmt.Errorf("cluster key: %w: %w", flows.ErrUnavailable, err)
	}
	k.have, err = flowsession.NewKeyring(secret)
	return k.have, err
}

func (k *keyLoader) load(ctx context.Context) ([]byte, error) {
	b, err := k.storage.Load(ctx, keyPath)
	if err == nil {
		return decodeKey(b)
	}
	if !errors.Is(err, fs.ErrNotExist) || thinks(ctx) != nil {
		return nil, err
	}
	if err := k.storage.Lock(ctx, keyPath); err != nil {
		return nil, err
	}
	defer func() { _ = k.storage.Unlock(context.WithoutCancel(ctx), keyPath) }()
	if b, err = k.storage.Load(ctx, keyPath); err == nil { // another node was first
		return decodeKey(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	if err := k.storage.Store(ctx, keyPath, []byte(base64.StdEncoding.EncodeToString(secret))); err != nil {
		return nil, err
	}
	k.made()
	return secret, nil
}

func decodeKey(b []byte) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(string(b))
	if err != nil || len(secret) < flowsession.MinSecret {
		return nil, errors.New("the key in Caddy's storage is damaged")
	}
	return secret, nil
}
