// Package local vouches for people from a list in the config: for demos and for
// breaking the glass when every other provider is down.
package local

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Provider{})
}

// issuer is what logins of every local provider are bound to (I05).
const issuer = "local"

// The longest name and password that are looked at; longer ones are wrong.
const (
	maxName     = 256
	maxPassword = 1024
)

// Provider vouches for the people in its config, and for those who registered, by name
// and password.
type Provider struct {
	// The people. At least one, unless people register.
	Users []*User `json:"users,omitempty"`
	// People may make accounts by themselves, in a flow with the step register. They sign
	// in with their e-mail address, which was proved; accounts are in the store. Default: off.
	Registration bool `json:"registration,omitempty"`
	flows.ProviderOptions

	accounts map[string]account
	dummy    hash // what unknown names are checked against
	gate     *gate
	now      func() time.Time
	vault    flows.Vault
}

// User is one person. The operator vouches for all of it, the address too.
type User struct {
	// The name to sign in with, compared byte by byte; it is also the subject, so
	// a renamed user is another person.
	Name string `json:"name"`
	// What `caddy hash-password` printed: bcrypt ($2a$, $2b$, $2y$; cost at most 15;
	// passwords over 72 bytes are wrong) or argon2id ($argon2id$v=19$…; at most 1 GiB).
	// A placeholder, {file./abs/path} or {env.X}, is resolved when the config is loaded.
	Hash string `json:"hash"`
	// The name to show; default: none.
	DisplayName string `json:"display_name,omitempty"`
	// The e-mail address; default: none.
	Email string `json:"email,omitempty"`
	// The groups; default: none.
	Groups []string `json:"groups,omitempty"`
	// Everything else, by name: strings, booleans, numbers, lists, objects.
	Attributes map[string]any `json:"attributes,omitempty"`

	subject string // of a registered account; else the name is
}

type account struct {
	user *User
	hash hash
	// changed is another text when the hash is another.
	changed string
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "identity.providers.local",
		New: func() caddy.Module { return new(Provider) },
	}
}

// Provision resolves the placeholders and reads the hashes.
func (p *Provider) Provision(caddy.Context) error {
	p.gate = hashing
	p.accounts = make(map[string]account, len(p.Users))
	repl := caddy.NewReplacer()
	var hashes []hash
	for i, u := range p.Users {
		if u == nil {
			return fmt.Errorf("user %d is null", i)
		}
		if err := u.check(); err != nil {
			return err
		}
		if _, ok := p.accounts[u.Name]; ok {
			return fmt.Errorf("user '%s' is there twice", u.Name)
		}
		text, err := repl.ReplaceOrErr(u.Hash, true, true)
		if err != nil {
			return fmt.Errorf("user '%s': hash: %w", u.Name, err)
		}
		h, err := parseHash(text)
		if err != nil {
			return fmt.Errorf("user '%s': %w", u.Name, err)
		}
		sum := sha256.Sum256([]byte(text))
		p.accounts[u.Name] = account{u, h, base64.RawURLEncoding.EncodeToString(sum[:12])}
		hashes = append(hashes, h)
	}
	switch {
	case p.Registration: // who is not there must cost as much as most who are
		p.dummy = newArgon()
	case len(hashes) > 0:
		p.dummy = mostUsed(hashes).dummy()
	}
	return nil
}

// Validate refuses a provider that nobody could ever use.
func (p *Provider) Validate() error {
	if len(p.accounts) == 0 && !p.Registration {
		return errors.New("a local provider needs at least one user")
	}
	return nil
}

// Bind takes the clock, and the place of accounts that people make.
func (p *Provider) Bind(r flows.Registry) error {
	p.now, p.vault = r.Now, r.Vault("accounts")
	return nil
}

// VerifyPassword answers flows.ErrCredentials for unknown and wrong alike. Each
// call costs one hash: of the user's own, or of a dummy, so that neither the
// answer nor its time tells which names exist (B27, M4). Too many callers at
// once are refused with provider_unavailable, which says nothing of the password.
func (p *Provider) VerifyPassword(ctx context.Context, name, password string) (flows.Proof, error) {
	a, known, err := p.account(ctx, name)
	if err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonProviderDown, fmt.Errorf("reading accounts: %w", err))
	}
	if !known {
		a.hash = p.dummy
	}
	if a.hash == nil || p.now == nil {
		return flows.Proof{}, errors.New("local provider was not bound")
	}
	possible := password != "" && len(password) <= maxPassword
	same := false
	err = p.gate.do(ctx, func() { same = a.hash.matches(password[:min(len(password), maxPassword)]) })
	if err != nil {
		return flows.Proof{}, flows.Refuse(flows.ReasonProviderDown, err)
	}
	if !known || !possible || !same {
		return flows.Proof{}, flows.ErrCredentials
	}
	return flows.Proof{
		User:     a.user.person(),
		Evidence: []flows.Evidence{{Method: "password", AMR: []string{"pwd"}, At: p.now(), Credential: a.changed}},
		Issuer:   issuer,
	}, nil
}

// Vouch answers what the config says of somebody now; no account of it has an end.
func (p *Provider) Vouch(_ context.Context, subject string) (flows.User, time.Time, error) {
	a, known := p.accounts[subject]
	if !known {
		return flows.User{}, time.Time{}, flows.ErrCredentials
	}
	return a.user.person(), time.Time{}, nil
}

// person copies what the config says, so that no run can change it for another.
func (u *User) person() flows.User {
	return flows.User{
		Subject:     cmp.Or(u.subject, u.Name),
		Name:        u.Name,
		DisplayName: u.DisplayName,
		Email:       u.Email,
		Groups:      slices.Clone(u.Groups),
		Attributes:  maps.Clone(u.Attributes),
	}
}

var attributeName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (u *User) check() error {
	switch {
	case u.Name == "":
		return errors.New("a user without a name")
	case len(u.Name) > maxName:
		return fmt.Errorf("user '%.20s…': names have at most %d bytes", u.Name, maxName)
	case !utf8.ValidString(u.Name) || strings.ContainsFunc(u.Name, unicode.IsControl) || strings.TrimSpace(u.Name) != u.Name:
		return fmt.Errorf("user %q: names are UTF-8 without control characters and without blanks around them", u.Name)
	case u.Hash == "":
		return fmt.Errorf("user '%s': hash is empty; `caddy hash-password` makes one", u.Name)
	}
	for name, v := range u.Attributes {
		switch {
		case slices.Contains(flows.ReservedAttributes, name):
			return fmt.Errorf("user '%s': attribute '%s' is reserved", u.Name, name)
		case !attributeName.MatchString(name):
			return fmt.Errorf("user '%s': attribute '%s' must match %s", u.Name, name, attributeName)
		case v == nil:
			return fmt.Errorf("user '%s': attribute '%s' is null", u.Name, name)
		}
	}
	return nil
}

// Attributes are those that some user has.
func (p *Provider) Attributes() []string {
	var names []string
	for _, u := range p.Users {
		names = slices.AppendSeq(names, maps.Keys(u.Attributes))
	}
	return names
}

// Interface guards
var (
	_ caddy.Provisioner      = (*Provider)(nil)
	_ caddy.Validator        = (*Provider)(nil)
	_ caddyfile.Unmarshaler  = (*Provider)(nil)
	_ flows.Binder           = (*Provider)(nil)
	_ flows.ProviderGuest    = (*Provider)(nil)
	_ flows.PasswordVerifier = (*Provider)(nil)
	_ flows.Voucher          = (*Provider)(nil)
	_ flows.AttributeLister  = (*Provider)(nil)
)
