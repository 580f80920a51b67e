package flowstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Vouching is a bound RequestVerifier and a request that it says something of.
type Vouching struct {
	Guest flows.RequestVerifier
	// Sent is a request in which it names somebody.
	Sent func() *flows.Request
	// Strangers are such requests that others sent: their headers are the same.
	Strangers []*flows.Request
}

// TestRequestVerifier reports every broken promise of flows.RequestVerifier.
func TestRequestVerifier(t *testing.T, c Vouching) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Vouching) Problems(ctx context.Context) []error {
	var l list
	p, err := c.Guest.VerifyRequest(ctx, c.Sent())
	switch {
	case err != nil:
		l.addf("a request that names somebody: %v", err)
	case p.User.Subject == "" || p.User.Name == "" || p.Issuer == "" || len(p.Evidence) == 0:
		l.addf("subject, name, issuer and evidence are wanted: %+v", p)
	}
	nobody := func(what string, r *flows.Request) {
		if p, err := c.Guest.VerifyRequest(ctx, r); !errors.Is(err, flows.ErrNobody) || p.User.Name != "" {
			l.addf("%s: want ErrNobody and no proof, got %q, %v", what, p.User.Name, err)
		}
	}
	for _, r := range c.Strangers {
		nobody("a stranger's request", r)
	}
	nobody("an empty request", &flows.Request{})
	read := c.Guest.Reads()
	if len(read) == 0 {
		l.addf("it reads no header, so the hall strips none")
	}
	seen := c.Sent().Captured
	for name, values := range seen {
		if !slices.ContainsFunc(read, func(n string) bool { return flows.Alias(n) == flows.Alias(name) }) {
			l.addf("it reads %s, which the hall does not strip", name)
		}
		for what, change := range map[string]func(h map[string][]string){
			"twice": func(h map[string][]string) { h[name] = append(slices.Clone(values), "mallory") },
			"in another spelling": func(h map[string][]string) {
				h[strings.NewReplacer("_", "-", "-", "_").Replace(name)] = []string{"mallory"}
			},
			"as no text": func(h map[string][]string) { h[name] = []string{"mal\x00lory"} },
		} {
			r := c.Sent()
			change(r.Captured)
			nobody(name+" came "+what, r)
		}
	}
	return l.errs
}
