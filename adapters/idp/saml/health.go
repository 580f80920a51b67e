package saml

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// Check reads the metadata anew where it comes from a URL. A file says nothing about
// the far side: then the address that logins go to is asked, and any answer will do
// but those that say that nobody is there.
func (s *SAML) Check(ctx context.Context) error {
	m, _, err := s.src.read(ctx)
	if err != nil {
		return fmt.Errorf("metadata from %s: %w", s.src.place, err)
	}
	if isURL(s.src.place) {
		return nil
	}
	return s.knock(ctx, m.SSO[0].Location)
}

// knock asks for a page. The operator wrote the file, so the host in it is trusted.
func (s *SAML) knock(ctx context.Context, place string) (err error) {
	defer outbound.Caught(&err)
	u, err := url.Parse(place)
	if err != nil {
		return fmt.Errorf("address of logins: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return fmt.Errorf("address of logins: %w", err)
	}
	resp, err := s.outbound(u.Hostname()).Do(req)
	if errors.Is(err, outbound.ErrRedirect) {
		return nil // it answered
	}
	if err != nil {
		return fmt.Errorf("%s: %s", u.Host, outbound.Short(err))
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("%s answered %s", u.Host, outbound.Clip(resp.Status, 60))
	}
	return nil
}
