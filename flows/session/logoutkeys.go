package session

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Providers that know no session id of ours, or several for one login, end
// sessions by names of their own (SAML: a NameID, a NameID with a SessionIndex).
// A session is found by each of them, as by its sid (I14).

// setLogoutKeys takes the names that came with a grant in the place of older ones
// of the same provider.
func (c *Card) setLogoutKeys(g flows.Grant) {
	if len(g.LogoutKeys) == 0 {
		return
	}
	if c.LogoutKeys == nil {
		c.LogoutKeys = map[string][]string{}
	}
	c.LogoutKeys[g.Provider] = slices.Clone(g.LogoutKeys)
}

func keyIndexes(k *Keyring, c *Card) ([]string, error) {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(c.LogoutKeys)) {
		for _, key := range c.LogoutKeys[p] {
			h, err := k.Hashes("logout_key", p+"\x00"+key)
			if err != nil {
				return nil, err
			}
			out = append(out, "k/"+h[0])
		}
	}
	return out, nil
}

// ByLogoutKeys returns the ids of the sessions that a provider names by one of
// these keys, those that ended within a day, too.
func (m *Manager) ByLogoutKeys(ctx context.Context, provider string, keys []string) ([]string, error) {
	var out []string
	for _, key := range keys {
		indexes, err := m.hashed(ctx, "k/", "logout_key", provider+"\x00"+key)
		if err != nil {
			return nil, err
		}
		ids, err := m.all(ctx, indexes)
		if err != nil {
			return nil, err
		}
		out = append(out, ids...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// NotBeforeLogoutKey revokes what a provider said under one of its names before
// `at`, also what it said and nobody has brought us yet (I15).
func (m *Manager) NotBeforeLogoutKey(ctx context.Context, provider, key string, at time.Time) error {
	return m.notBefore(ctx, "logout_key", provider+"\x00"+key, at)
}
