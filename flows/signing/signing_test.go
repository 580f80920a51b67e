package signing_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/flows/signing"
)

// clock is a time that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: flowstest.Start} }

// node is one gateway's view of the keys.
func node(t testing.TB, c *clock, v flows.Vault, algorithms ...string) *signing.Keys {
	t.Helper()
	k := &signing.Keys{Vault: v, Now: c.Now}
	for _, a := range algorithms {
		if err := k.Use(a); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func prepare(t testing.TB, k *signing.Keys) {
	t.Helper()
	if err := k.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func sign(t testing.TB, k *signing.Keys, algorithm string, now time.Time) string {
	t.Helper()
	s, err := k.Sign(flows.Token{Algorithm: algorithm, Claims: map[string]any{"sub": "a"}, Issued: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document is jwks.json as an application parses it.
func document(t testing.TB, k *signing.Keys) jose.JSONWebKeySet {
	t.Helper()
	keys, err := k.Public(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(flows.JWKS(keys))
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA}

// verify is another implementation's word.
func verify(token string, set jose.JSONWebKeySet) error {
	s, err := jose.ParseSigned(token, algorithms)
	if err != nil {
		return err
	}
	_, err = s.Verify(set)
	return err
}

func kid(t testing.TB, token string) string {
	t.Helper()
	s, err := jose.ParseSigned(token, algorithms)
	if err != nil {
		t.Fatal(err)
	}
	return s.Signatures[0].Header.KeyID
}

func TestAnotherImplementationVerifies(t *testing.T) {
	c := newClock()
	k := node(t, c, flowstest.NewVault(c.Now), flows.SigningAlgorithms...)
	prepare(t, k)
	set := document(t, k)
	if len(set.Keys) != 3 {
		t.Fatalf("%d keys", len(set.Keys))
	}
	for _, a := range flows.SigningAlgorithms {
		token := sign(t, k, a, c.Now())
		if err := verify(token, set); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		broken := []byte(token)
		broken[len(broken)-20] ^= 1
		if err := verify(string(broken), set); err == nil {
			t.Errorf("%s: a changed signature verifies", a)
		}
		key := set.Key(kid(t, token))
		if len(key) != 1 || key[0].Algorithm != a || key[0].Use != "sig" || !key[0].IsPublic() || !key[0].Valid() {
			t.Errorf("%s: its key is %+v", a, key)
		}
	}
	if err := k.Use("HS256"); err == nil {
		t.Error("HS256 is used: its key could not be published")
	}
	if _, err := k.Sign(flows.Token{Algorithm: "none"}); err == nil {
		t.Error("none signs")
	}
}

// The id is the key's own: who has the key can work it out (RFC 7638).
func TestKeyIDIsTheThumbprintAsUUID(t *testing.T) {
	c := newClock()
	k := node(t, c, flowstest.NewVault(c.Now), flows.SigningAlgorithms...)
	prepare(t, k)
	for _, key := range document(t, k).Keys {
		sum, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		id, err := hex.DecodeString(strings.ReplaceAll(key.KeyID, "-", ""))
		if err != nil || len(id) != 16 || len(key.KeyID) != 36 {
			t.Fatalf("%s is no UUID: %v", key.KeyID, err)
		}
		if id[6]>>4 != 8 || id[8]>>6 != 2 {
			t.Errorf("%s is no UUID of version 8", key.KeyID)
		}
		id[6], id[8], sum[6], sum[8] = id[6]&0x0f, id[8]&0x3f, sum[6]&0x0f, sum[8]&0x3f
		if !slices.Equal(id, sum[:16]) {
			t.Errorf("%s: %x is not of the thumbprint %x", key.KeyID, id, sum)
		}
	}
}

func TestNothingPrivateIsPublished(t *testing.T) {
	c := newClock()
	k := node(t, c, flowstest.NewVault(c.Now), flows.SigningAlgorithms...)
	prepare(t, k)
	keys, err := k.Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public := []string{"alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"}
	for _, key := range keys {
		for member := range key.JWK() {
			if !slices.Contains(public, member) {
				t.Errorf("%s: the JWK has %s", key.Algorithm, member)
			}
		}
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		b, rest := pem.Decode(text)
		if b == nil || b.Type != "PUBLIC KEY" || len(rest) > 0 {
			t.Fatalf("%s: %s", key.Algorithm, text)
		}
		got, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil || !got.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Key) {
			t.Errorf("%s: the PEM is another key: %v", key.Algorithm, err)
		}
	}
}

// Padding is signed, too: who verifies takes the parts as they came.
func TestPaddingIsKept(t *testing.T) {
	c := newClock()
	k := node(t, c, flowstest.NewVault(c.Now), "ES256")
	prepare(t, k)
	for i := range 4 {
		sub := strings.Repeat("a", i+1)
		token, err := k.Sign(flows.Token{Algorithm: "ES256", Claims: map[string]any{"sub": sub}, Issued: c.Now(), Padded: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Split(token, ".") {
			if _, err := base64.URLEncoding.DecodeString(p); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
		if strings.Contains(token, "=.") { // only then would the parts without padding be others
			bare := strings.ReplaceAll(token, "=", "")
			if err := verify(bare, document(t, k)); err == nil {
				t.Error("the padding was not signed")
			}
		}
	}
}

// verifier is an application that keeps keys for as long as it may.
type verifier struct {
	// curious asks anew for a kid that it does not know.
	curious bool
	set     jose.JSONWebKeySet
	until   time.Time
	fetches int
}

func (v *verifier) check(t testing.TB, token string, now time.Time, fetch func() jose.JSONWebKeySet) error {
	t.Helper()
	known := len(v.set.Key(kid(t, token))) > 0
	if !now.Before(v.until) || !known && v.curious {
		v.set, v.until = fetch(), now.Add(signing.MaxAge)
		v.fetches++
	}
	return verify(token, v.set)
}

// Keys change every month, and no token is ever without one: not for who asks
// anew when it meets a new one, and not for who only asks every hour.
func TestRotationIsNeverSeen(t *testing.T) {
	c := newClock()
	vault := flowstest.NewVault(c.Now)
	nodes := []*signing.Keys{node(t, c, vault, "ES256"), node(t, c, vault, "ES256")}
	prepare(t, nodes[0])
	verifiers := map[string]*verifier{"curious": {curious: true}, "patient": {}}
	seen := map[string]bool{}
	type held struct {
		token string
		until time.Time
	}
	var waiting []held // the longest there are, to be verified at their end
	for n, end := 0, c.Now().Add(70*24*time.Hour); c.Now().Before(end); n++ {
		now := c.Now()
		hour := int(now.Sub(flowstest.Start) / time.Hour)
		k, other := nodes[n%2], nodes[(n+1)%2]
		prepare(t, k)
		token := sign(t, k, "ES256", now)
		seen[kid(t, token)] = true
		waiting = append(waiting, held{token, now.Add(flows.LongestTTL)})
		for name, v := range verifiers {
			if err := v.check(t, token, now, func() jose.JSONWebKeySet { return document(t, other) }); err != nil {
				t.Fatalf("day %d: a %s application: %v", hour/24, name, err)
			}
			for len(waiting) > 0 && !now.Before(waiting[0].until) && name == "patient" {
				if err := v.check(t, waiting[0].token, now, func() jose.JSONWebKeySet { return document(t, other) }); err != nil {
					t.Fatalf("day %d: a token at its end: %v", hour/24, err)
				}
				waiting = waiting[1:]
			}
		}
		if n := len(document(t, k).Keys); n > 3 {
			t.Fatalf("day %d: %d keys are published", hour/24, n)
		}
		if into := now.Unix() % int64(signing.Period/time.Second); into > 60*60*60 && into < int64((signing.Period-50*time.Hour)/time.Second) {
			c.forward(5 * time.Hour) // nothing happens in the middle of a period
		}
		c.forward(time.Hour)
	}
	if len(seen) < 3 || len(seen) > 4 {
		t.Errorf("%d keys signed in 70 days", len(seen))
	}
}

// A gateway that was off, for whatever time, finds its way: every token that is
// good has its key published, also where the next key was made late.
func TestKeysOutliveStandstill(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, 26 * time.Hour, 12 * 24 * time.Hour, 29 * 24 * time.Hour, 31 * 24 * time.Hour, 75 * 24 * time.Hour} {
		for _, on := range []time.Duration{time.Hour, 25 * time.Hour, 20 * 24 * time.Hour} {
			step := max(on/8, 30*time.Minute)
			c := newClock()
			vault := flowstest.NewVault(c.Now)
			k := node(t, c, vault, "EdDSA")
			for range 5 {
				for d := time.Duration(0); d < on; d += step {
					prepare(t, k)
					now := c.Now()
					token := sign(t, k, "EdDSA", now)
					for _, later := range []time.Duration{0, flows.LongestTTL} {
						ahead := &clock{now: now.Add(later)}
						v := flowstest.NewVault(ahead.Now)
						carry(t, vault, v)
						if err := verify(token, document(t, node(t, ahead, v, "EdDSA"))); err != nil {
							t.Fatalf("on %v, off %v, %v after it was signed at %v: %v", on, off, later, now, err)
						}
					}
					c.forward(step)
				}
				c.forward(off)
				k = node(t, c, vault, "EdDSA")
			}
		}
	}
}

// carry copies all keys that are there.
func carry(t *testing.T, from, to flows.Vault) {
	t.Helper()
	for p := range int64(40) {
		name := fmt.Sprintf("EdDSA/%d", flowstest.Start.Unix()/int64(signing.Period/time.Second)-3+p)
		b, err := from.Get(t.Context(), name)
		if errors.Is(err, flows.ErrNotFound) {
			continue
		}
		if err == nil {
			err = to.Create(t.Context(), name, b, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// meeting is a vault whose visitors all see that there is no key before any makes one.
type meeting struct {
	*flowstest.Vault
	mu      sync.Mutex
	missing int
	all     chan struct{}
}

func (m *meeting) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := m.Vault.Get(ctx, key)
	if key == fmt.Sprintf("ES256/%d", flowstest.Start.Unix()/int64(signing.Period/time.Second)) && err != nil {
		m.mu.Lock()
		if m.missing--; m.missing == 0 {
			close(m.all)
		}
		m.mu.Unlock()
		<-m.all
	}
	return b, err
}

func TestNodesThatBeginTogetherHaveOneKey(t *testing.T) {
	c := newClock()
	ids := make([]string, 8)
	vault := &meeting{Vault: flowstest.NewVault(c.Now), missing: len(ids), all: make(chan struct{})}
	var wg sync.WaitGroup
	for i := range ids {
		k := node(t, c, vault, "ES256")
		wg.Go(func() {
			if err := k.Prepare(context.Background()); err != nil {
				t.Error(err)
				return
			}
			ids[i] = kid(t, sign(t, k, "ES256", c.Now()))
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("nodes sign with %q", ids)
		}
	}
}

// A store that is down stops only who has no key yet.
func TestKeysOutliveTheStore(t *testing.T) {
	c := newClock()
	vault := flowstest.NewVault(c.Now)
	k := node(t, c, vault, "ES256")
	vault.SetDown(true)
	if err := k.Prepare(t.Context()); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := k.Public(t.Context()); !errors.Is(err, flows.ErrUnavailable) {
		t.Errorf("without a key: %v", err)
	}
	if s, err := k.Sign(flows.Token{Algorithm: "ES256"}); err == nil {
		t.Errorf("signed without a key: %s", s)
	}
	vault.SetDown(false)
	prepare(t, k)
	first := kid(t, sign(t, k, "ES256", c.Now()))
	vault.SetDown(true)
	for range 45 {
		prepare(t, k)
		token := sign(t, k, "ES256", c.Now())
		if err := verify(token, document(t, k)); err != nil || kid(t, token) != first {
			t.Fatalf("%v, key %s", err, kid(t, token))
		}
		c.forward(24 * time.Hour)
	}
	vault.SetDown(false)
	c.forward(time.Hour)
	prepare(t, k)
	if set := document(t, k); len(set.Keys) < 1 {
		t.Error("no keys when the store is back")
	}
}

// Keys of an algorithm that this configuration does not use are published: another
// node may sign with them, or this one did a moment ago. None is made.
func TestOthersKeysArePublished(t *testing.T) {
	c := newClock()
	vault := flowstest.NewVault(c.Now)
	old, now := node(t, c, vault, "ES256"), node(t, c, vault, "EdDSA")
	prepare(t, old)
	prepare(t, now)
	if err := verify(sign(t, old, "ES256", c.Now()), document(t, now)); err != nil {
		t.Error(err)
	}
	if n := len(document(t, node(t, c, flowstest.NewVault(c.Now))).Keys); n != 0 {
		t.Errorf("%d keys where nothing is signed", n)
	}
}

// What is there is asked for once an hour, and written once.
func TestKeysCostLittle(t *testing.T) {
	c := newClock()
	vault := flowstest.NewVault(c.Now)
	prepare(t, node(t, c, vault, "ES256"))
	k := node(t, c, vault, "ES256")
	prepare(t, k)
	writes := vault.Writes()
	if writes != 2 {
		t.Errorf("%d writes for one key, made and sealed anew", writes)
	}
	for range 100 {
		prepare(t, k)
		document(t, k)
		c.forward(20 * time.Minute)
	}
	if vault.Writes() != writes {
		t.Errorf("%d more writes", vault.Writes()-writes)
	}
}

func BenchmarkSign(b *testing.B) {
	for _, a := range flows.SigningAlgorithms {
		b.Run(a, func(b *testing.B) {
			c := newClock()
			k := node(b, c, flowstest.NewVault(c.Now), a)
			prepare(b, k)
			claims := map[string]any{
				"iss": "https://payroll.example.com", "aud": "payroll", "sub": "corp:u-4711", "name": "alice", "email": "alice@example.com",
				"groups": []string{"staff", "payroll", "admins"}, "iat": 1, "exp": 61, "jti": "KY2XWQYO2AVFJXB4W7YQ7JXF3D",
			}
			for b.Loop() {
				if _, err := k.Sign(flows.Token{Algorithm: a, Claims: claims, Issued: c.now}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
