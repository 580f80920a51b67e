package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// begin starts a fetch, or joins the running one. The lock is held.
func (k *Keys) begin(ctx context.Context) *flight {
	if k.flight == nil {
		k.flight = &flight{done: make(chan struct{})}
		k.tried = k.now()
		go k.fetch(context.WithoutCancel(ctx), k.flight, k.client, k.url)
	}
	return k.flight
}

func (k *Keys) wait(ctx context.Context, f *flight) ([]jose.JSONWebKey, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeysDown, ctx.Err())
	}
	if f.err != nil {
		return nil, f.err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys, nil
}

func (k *Keys) fetch(ctx context.Context, f *flight, c *http.Client, url string) {
	ctx, cancel := context.WithTimeout(ctx, fetchMax)
	defer cancel()
	keys, err := k.located(ctx, c, url)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.old, k.oldTill = k.keys, k.now().Add(oldKeysLast)
		k.keys, k.at = keys, k.now()
	} else {
		f.err = fmt.Errorf("%w: %s", ErrKeysDown, outbound.Short(err))
	}
	k.err, k.flight = f.err, nil
	close(f.done)
}

func (k *Keys) located(ctx context.Context, c *http.Client, url string) (_ []jose.JSONWebKey, err error) {
	defer outbound.Caught(&err)
	if k.Locate != nil {
		if url, err = k.Locate(ctx, c); err != nil {
			return nil, err
		}
	}
	return FetchKeys(ctx, c, url)
}

// FetchKeys reads a key document.
func FetchKeys(ctx context.Context, c *http.Client, url string) (_ []jose.JSONWebKey, err error) {
	defer outbound.Caught(&err)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("jwks_uri answered %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys takes the keys that can verify a signature and passes over the
// others (RFC 7517 §5). A document without any never replaces a good one.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("jwks: %d keys, at most %d are read", len(raw.Keys), maxKeys)
	}
	var out []jose.JSONWebKey
	for _, r := range raw.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(r, &k); err == nil && verifies(&k) {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("jwks: no usable key")
	}
	return out, nil
}

func verifies(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	if k.Algorithm != "" && !slices.Contains(Signatures, k.Algorithm) {
		return false
	}
	switch pub := k.Key.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen() >= MinRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false // private and symmetric keys have no business here
}

// flight is one running fetch that everyone waits for.
type flight struct {
	done chan struct{}
	err  error
}
