package flowstest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Showing is a bound ClientVerifier and requests of programs.
type Showing struct {
	Guest flows.ClientVerifier
	// Good is a request by which it knows a program.
	Good func() *flows.Request
	// Bad are requests with a credential of its kind that is no good.
	Bad []*flows.Request
}

// TestClientVerifier reports every broken promise of flows.ClientVerifier.
func TestClientVerifier(t *testing.T, c Showing) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Showing) Problems(ctx context.Context) []error {
	var l list
	cred, err := c.Guest.Presents(c.Good())
	if err != nil || cred.Secret == "" {
		l.addf("a request that shows a program: %q, %v", cred.Secret, err)
	}
	p, err := c.Guest.VerifyClient(ctx, c.Good(), cred)
	switch {
	case err != nil:
		l.addf("a good credential: %v", err)
	case p.User.Subject == "" || p.User.Name == "" || p.Issuer == "" || len(p.Evidence) == 0:
		l.addf("subject, name, issuer and evidence are wanted: %+v", p)
	case !p.Stale.IsZero() || len(p.Tokens) > 0:
		l.addf("nothing of a program is kept, so there is nothing to renew: %+v", p)
	}
	for i, r := range c.Bad {
		bad, err := c.Guest.Presents(r)
		if err != nil {
			l.addf("bad request %d shows nothing to judge: %v", i, err)
			continue
		}
		if bad.Secret == cred.Secret {
			l.addf("bad request %d is taken for the good one", i)
		}
		if p, err := c.Guest.VerifyClient(ctx, r, bad); !errors.Is(err, flows.ErrCredentials) || p.User.Subject != "" {
			l.addf("bad request %d: want ErrCredentials and no proof, got %q, %v", i, p.User.Subject, err)
		}
	}
	c.shows(&l)
	return l.errs
}

// shows is what Presents must answer to what is no credential of its kind.
func (c Showing) shows(l *list) {
	nothing := map[string]*flows.Request{
		"an empty request":  {},
		"a token elsewhere": {Query: "access_token=a.b.c", Header: map[string][]string{"X-Client-Cert": {"-----BEGIN CERTIFICATE-----"}, "Cookie": {"access_token=a.b.c"}}},
		"another scheme":    {Header: map[string][]string{"Authorization": {"Digest username=\"a\""}}},
	}
	for what, r := range nothing {
		if cred, err := c.Guest.Presents(r); !errors.Is(err, flows.ErrNobody) || cred.Secret != "" {
			l.addf("%s: want ErrNobody, got %q, %v", what, cred.Secret, err)
		}
	}
	if c.Guest.Scheme() == "" {
		return
	}
	r := c.Good()
	if auth := r.Header["Authorization"]; len(auth) != 1 || !strings.HasPrefix(auth[0], c.Guest.Scheme()+" ") {
		l.addf("the good request has %d Authorization headers, and not of the scheme that it says", len(auth))
	}
	r.Header["Authorization"] = append(r.Header["Authorization"], "Basic YTpi")
	if cred, err := c.Guest.Presents(r); flows.ReasonOf(err) != flows.ReasonInvalidRequest || cred.Secret != "" {
		l.addf("two Authorization headers: want invalid_request, got %q, %v", cred.Secret, err)
	}
}
