package flows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// The longest name and password that a provider is bothered with; longer ones are wrong.
const (
	maxGuessName     = 256
	maxGuessPassword = 1024
)

// Guess is a name and a password that somebody says are theirs.
type Guess struct {
	Name, Password string
	// IP is the client's address.
	IP string
	// Device is the id of a browser that signed this user in before; "" of any other. It has
	// a budget of its own: whoever guesses elsewhere, even from the same network, cannot
	// keep it out (B27).
	Device string
}

// Check has a provider check a guess. The tries are counted before anything is checked,
// so that parallel guesses cannot outrun the count (I08); used-up budgets look the same
// for names that exist and names that do not (B27). A positive wait means that nothing
// was checked. Errors are those of VerifyPassword and Account.
func (b *Budgets) Check(ctx context.Context, p *Provider, v PasswordVerifier, g Guess) (Proof, time.Duration, error) {
	reserved, wait := b.Reserve(g.keys(p.Realm(), g.Name)...)
	if wait > 0 {
		return Proof{}, wait, nil
	}
	if g.Name == "" || g.Password == "" || len(g.Name) > maxGuessName || len(g.Password) > maxGuessPassword {
		return Proof{}, 0, ErrCredentials
	}
	spelled, wait, err := b.spellings(ctx, p, g)
	if wait > 0 {
		reserved.Succeeded() // nothing was checked
		return Proof{}, wait, nil
	}
	var proof Proof
	if err == nil {
		proof, err = v.VerifyPassword(ctx, g.Name, g.Password)
	}
	// Who hangs up before the answer keeps the count: it would be a free guess.
	down := err != nil && !errors.Is(err, ErrCredentials) && ctx.Err() == nil && ReasonOf(err) == ReasonProviderDown
	if err == nil || down {
		reserved.Succeeded()
		spelled.Succeeded()
	}
	return proof, 0, err
}

// keys are the budgets of one try. Spellings that a directory takes for one name share
// one budget (M2); providers of one realm vouch for the same people.
func (g Guess) keys(realm, name string) []BudgetKey {
	spelled := strings.Join(strings.Fields(strings.ToLower(strings.ToUpper(name))), " ")
	sum := sha256.Sum256([]byte(realm + "\x00" + spelled))
	user := hex.EncodeToString(sum[:16])
	if g.Device != "" {
		return []BudgetKey{{Space: "login_user_device", ID: user + " " + g.Device, Limits: LimitUserNetwork}}
	}
	network := NetworkKey(g.IP)
	return []BudgetKey{
		{Space: "login_user_network", ID: user + " " + network.ID, Limits: LimitUserNetwork},
		network,
		{Space: "login_user", ID: user, Limits: LimitUserSoft},
	}
}

// NetworkKey is the budget of everybody in one network.
func NetworkKey(ip string) BudgetKey {
	return BudgetKey{Space: "login_network", ID: Network(ip), Limits: LimitNetwork}
}

// spellings counts the try by what the provider knows the name to mean, beside what was
// typed: `CORP\anna`, `anna@corp.example` and `anna` may be one account (M2).
func (b *Budgets) spellings(ctx context.Context, p *Provider, g Guess) (Reservation, time.Duration, error) {
	s, ok := p.Guest.(Speller)
	if !ok {
		return Reservation{}, 0, nil
	}
	names, err := s.Account(ctx, g.Name)
	if err != nil {
		return Reservation{}, 0, err
	}
	var all []BudgetKey
	for _, n := range names {
		for _, k := range g.keys(p.Realm(), n) {
			if k.Space == "login_network" {
				continue // counted once already
			}
			k.Space += "_spelled"
			all = append(all, k)
		}
	}
	r, wait := b.Reserve(all...)
	return r, wait, nil
}
