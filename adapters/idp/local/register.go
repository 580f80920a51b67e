package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// What passwords of registered accounts cost: OWASP's second choice for argon2id,
// which a flood of logins can bear.
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonThreads = 1
)

// registered is an account that its owner made. The subject is random: an address may
// change hands, and was typed (I04).
type registered struct {
	Subject     string    `json:"subject"`
	Email       string    `json:"email"`
	DisplayName string    `json:"display_name,omitempty"`
	Hash        string    `json:"hash"`
	Created     time.Time `json:"created"`
}

func fold(email string) string {
	return strings.ToLower(strings.ToUpper(strings.TrimSpace(email)))
}

// Registers reports whether people may make accounts.
func (p *Provider) Registers() bool { return p.Registration }

// Hash makes an argon2id hash; hashing is bounded as logins are.
func (p *Provider) Hash(ctx context.Context, password string) (text string, err error) {
	err = hashing.do(ctx, func() {
		h := newArgon()
		h.key = argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, 32)
		enc := base64.RawStdEncoding
		text = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.memory, h.passes, h.threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
	})
	return text, err
}

// newArgon has the cost of registered accounts and matches no password.
func newArgon() argonHash {
	return argonHash{salt: random(16), key: random(32), memory: argonMemory, passes: argonPasses, threads: argonThreads}
}

// find reads an account by its address.
func (p *Provider) find(ctx context.Context, email string) (*registered, error) {
	b, err := p.vault.Get(ctx, "email "+fold(email))
	if err != nil {
		return nil, err
	}
	r := new(registered)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("reading an account: %w", err)
	}
	return r, nil
}

// Registered reports whether an address has an account, of either kind.
func (p *Provider) Registered(ctx context.Context, email string) (bool, error) {
	for _, u := range p.Users {
		if fold(u.Email) == fold(email) || fold(u.Name) == fold(email) {
			return true, nil
		}
	}
	_, err := p.find(ctx, email)
	if errors.Is(err, flows.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Register keeps an account: first under its address, of which one gets it.
func (p *Provider) Register(ctx context.Context, a flows.Account) error {
	if taken, err := p.Registered(ctx, a.Email); err != nil || taken {
		return errors.Join(err, flows.ErrExists)
	}
	r := registered{Subject: rand.Text(), Email: a.Email, DisplayName: a.DisplayName, Hash: a.Hash, Created: p.now().Truncate(time.Second)}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := p.vault.Create(ctx, "email "+fold(a.Email), b, flows.KeptFor); err != nil {
		return err
	}
	return p.vault.Create(ctx, "subject "+r.Subject, []byte(a.Email), flows.KeptFor)
}

// account finds who signs in with a name: those of the configuration first.
func (p *Provider) account(ctx context.Context, name string) (account, bool, error) {
	a, known := p.accounts[name]
	if known || !p.Registration || name == "" || len(name) > maxName {
		return a, known, nil
	}
	r, err := p.find(ctx, name)
	if errors.Is(err, flows.ErrNotFound) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, err
	}
	h, err := parseHash(r.Hash)
	u := &User{Name: r.Email, DisplayName: r.DisplayName, Email: r.Email, subject: r.Subject}
	return account{u, h, r.Subject}, err == nil, err // the password of an account never changes
}

// Keeps names the accounts.
func (*Provider) Keeps() string { return "own_account" }

// Export answers what a person told when they registered.
func (p *Provider) Export(ctx context.Context, user flows.UserKey) ([]flows.Kept, error) {
	r, err := p.of(ctx, user)
	if r == nil || err != nil {
		return nil, err
	}
	return []flows.Kept{{Name: "email", Value: r.Email, At: r.Created}, {Name: "display_name", Value: r.DisplayName, At: r.Created}}, nil
}

// of finds the account of a user; nil if there is none.
func (p *Provider) of(ctx context.Context, user flows.UserKey) (*registered, error) {
	if !p.Registration {
		return nil, nil
	}
	_, subject, _ := strings.Cut(string(user), ":")
	email, err := p.vault.Get(ctx, "subject "+subject)
	if errors.Is(err, flows.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := p.find(ctx, string(email))
	if errors.Is(err, flows.ErrNotFound) || err == nil && r.Subject != subject {
		return nil, nil
	}
	return r, err
}

// Erase forgets the account: nobody signs in with it any more.
func (p *Provider) Erase(ctx context.Context, user flows.UserKey) error {
	r, err := p.of(ctx, user)
	if r == nil || err != nil {
		return err
	}
	for _, key := range []string{"email " + fold(r.Email), "subject " + r.Subject} {
		if err := p.vault.Update(ctx, key, func(old []byte) (flows.Change, error) {
			if old == nil {
				return flows.Keep(), nil
			}
			return flows.Remove(), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

var (
	_ flows.Registrar = (*Provider)(nil)
	_ flows.Keeper    = (*Provider)(nil)
)
