package oidc

import (
	"context"
	"fmt"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// Check reads the discovery document and the keys anew, as a login would that has
// neither. What logins found out, which browsers have a hand in, counts for nothing
// here (I23).
func (p *Provider) Check(ctx context.Context) error {
	p.src.mu.Lock()
	client := p.src.client
	p.src.mu.Unlock()
	m, err := fetchMetadata(ctx, client, p.src.issuer, p.src.announced)
	if err != nil {
		return err
	}
	if _, err := jwt.FetchKeys(ctx, client, m.KeysURL); err != nil {
		return fmt.Errorf("keys of %s: %s", p.src.issuer, outbound.Short(err))
	}
	return nil
}
