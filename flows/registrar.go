package flows

import "context"

// Registrar is a provider that keeps accounts which people make themselves.
type Registrar interface {
	// Registers reports whether it does so at all, as configured.
	Registers() bool
	// Hash makes of a password what is kept of it. It costs as much as a login.
	Hash(ctx context.Context, password string) (string, error)
	// Registered reports whether an address has an account here.
	Registered(ctx context.Context, email string) (bool, error)
	// Register keeps an account whose address was proved; the trail was written first.
	// ErrExists: somebody was first.
	Register(ctx context.Context, a Account) error
}

// Account is what somebody told of themselves.
type Account struct {
	// Email is proved; it is also what they sign in with.
	Email string
	// DisplayName is their own word.
	DisplayName string
	// Hash is what Hash made of the password.
	Hash string
}

// The limits of registrations: of one network, of one address that is written to, and
// of one code.
var (
	LimitRegisterNetwork = Limits{Free: 10, Window: LimitNetwork.Window * 12, Longest: LimitNetwork.Longest}
	LimitRegisterAddress = Limits{Free: 3, Window: LimitNetwork.Longest, Longest: LimitNetwork.Longest}
	LimitRegisterCode    = Limits{Free: 5, Window: LimitNetwork.Longest, Longest: LimitNetwork.Longest}
)
