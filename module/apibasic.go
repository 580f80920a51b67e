package module

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

const basicScheme = "Basic"

// basic takes names and passwords of a provider by HTTP Basic (RFC 7617). They count
// against the budgets of the login form.
type basic struct {
	provider *flows.Provider
	guest    flows.PasswordVerifier
	budgets  *flows.Budgets
}

func (b *basic) Scheme() string { return basicScheme }

func (b *basic) Presents(r *flows.Request) (flows.ClientCredential, error) {
	text, err := flows.Authorization(r, basicScheme)
	if err != nil {
		return flows.ClientCredential{}, err
	}
	name, password, err := userPass(text)
	if err != nil {
		return flows.ClientCredential{}, flows.Refuse(flows.ReasonInvalidRequest, err)
	}
	// A browser that was told them once sends them by itself.
	return flows.ClientCredential{Secret: name + ":" + password, Ambient: true}, nil
}

// userPass reads what stands behind Basic. The first colon ends the name.
func userPass(text string) (name, password string, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", "", errors.New("basic: no base64")
	}
	if !utf8.Valid(raw) || strings.ContainsFunc(string(raw), unicode.IsControl) {
		return "", "", errors.New("basic: no text in UTF-8")
	}
	name, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", errors.New("basic: no colon")
	}
	return name, password, nil
}

func (b *basic) VerifyClient(ctx context.Context, r *flows.Request, c flows.ClientCredential) (flows.Proof, error) {
	name, password, _ := strings.Cut(c.Secret, ":")
	proof, wait, err := b.budgets.Check(ctx, b.provider, b.guest, flows.Guess{Name: strings.TrimSpace(name), Password: password, IP: r.IP})
	if wait > 0 {
		return flows.Proof{}, flows.Refuse(flows.ReasonTooManyTries, &flows.WaitError{Wait: wait})
	}
	return proof, err
}

var _ flows.ClientVerifier = (*basic)(nil)
