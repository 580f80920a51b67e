package flowstest

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Negotiating is a bound Negotiator and what browsers answer it.
type Negotiating struct {
	Guest flows.Negotiator
	// Request is one whose browser is believed.
	Request *flows.Request
	// Token is a good answer, another one each time.
	Token func() []byte
	// Refused are answers after which the person goes on to another provider.
	Refused map[string][]byte
}

// TestNegotiator reports every broken promise of flows.Negotiator.
func TestNegotiator(t *testing.T, c Negotiating) {
	t.Helper()
	for _, err := range c.Problems(t.Context()) {
		t.Error(err)
	}
}

// Problems are the broken promises, none for a sound guest.
func (c Negotiating) Problems(ctx context.Context) []error {
	var l list
	token := c.Token()
	first, err := c.Guest.Negotiate(ctx, c.Request, token)
	if err != nil {
		l.addf("a good answer: %v", err)
		return l.errs
	}
	judgeProof(&l, first)
	if len(first.Once) == 0 {
		l.addf("it has no mark, so it could be shown again (I09)")
	}
	same, err := c.Guest.Negotiate(ctx, c.Request, bytes.Clone(token))
	if err != nil || !slices.Equal(same.Once, first.Once) {
		l.addf("the same answer again: marks %v and %v, %v; the hall could not tell that it was used", first.Once, same.Once, err)
	}
	other, err := c.Guest.Negotiate(ctx, c.Request, c.Token())
	if err != nil || slices.Equal(other.Once, first.Once) {
		l.addf("another answer: marks %v again, %v", other.Once, err)
	}
	for what, token := range c.Refused {
		c.refused(ctx, &l, what, token)
	}
	c.refused(ctx, &l, "nothing", []byte{})
	c.refused(ctx, &l, "NTLM", []byte("NTLMSSP\x00\x01\x00\x00\x00"))
	c.refused(ctx, &l, "a huge answer", bytes.Repeat([]byte{0x60}, 1<<20))
	for n := range token {
		if n%7 == 0 || n < 64 {
			c.refused(ctx, &l, "a part of an answer", token[:n])
		}
	}
	c.changed(ctx, &l, token, first)
	return l.errs
}

func (c Negotiating) refused(ctx context.Context, l *list, what string, token []byte) {
	p, err := c.Guest.Negotiate(ctx, c.Request, token)
	if flows.ReasonOf(err) != flows.ReasonTicketRefused || p.User.Subject != "" || len(p.Evidence) > 0 {
		l.addf("%s: want a refusal with %s and no proof, got %q, %v", what, flows.ReasonTicketRefused, p.User.Subject, err)
	}
}

// changed: whatever bit of an answer is another, nobody else comes of it, and it is
// still the same answer.
func (c Negotiating) changed(ctx context.Context, l *list, token []byte, first flows.Proof) {
	for i := range token {
		bad := bytes.Clone(token)
		bad[i] ^= 1 << (i % 8)
		p, err := c.Guest.Negotiate(ctx, c.Request, bad)
		if err == nil && (p.User.Subject != first.User.Subject || !slices.Equal(p.Once, first.Once)) {
			l.addf("byte %d of an answer changed: it is taken as another, of %q", i, p.User.Subject)
		}
	}
}
