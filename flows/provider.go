package flows

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ProviderOptions are what every provider takes, whatever its type. A provider
// guest embeds them.
type ProviderOptions struct {
	// Realm under which subjects are kept; default: the provider's name. Providers
	// of one realm vouch for the same people.
	Realm string `json:"realm,omitempty"`
	// Scope limits which names and addresses it may assert: @contoso.com …
	Scope []string `json:"scope,omitempty"`
	// Hidden: only as fallback or by ?provider=.
	Hidden bool `json:"hidden,omitempty"`
	// Trust lists attributes taken without further proof; only "email" exists.
	Trust []string `json:"trust,omitempty"`
	// Formerly are names this provider had before, the first one first: sessions and keys made under them stay good (I05).
	Formerly []string `json:"formerly,omitempty"`
	// Was are issuers this provider had before (I05).
	Was []string `json:"was,omitempty"`
	// SingleLogout: end the login at the provider too; default on.
	SingleLogout *bool `json:"single_logout,omitempty"`
	// Title is the text on the chooser's button; default: the name.
	Title string `json:"title,omitempty"`
	// HealthInterval is the time between two checks, made while a login has a fallback for
	// it; each is moved by up to a tenth, so that nodes do not ask together. Default 10s.
	HealthInterval Duration `json:"health_interval,omitempty"`
	// HealthTimeout is how long one check may take; default 5s.
	HealthTimeout Duration `json:"health_timeout,omitempty"`
	// HealthFails is how many checks fail in a row before it counts as down; default 3.
	HealthFails int `json:"health_fails,omitempty"`
	// HealthPasses is how many pass in a row before it counts as up again; default 2.
	HealthPasses int `json:"health_passes,omitempty"`
}

// Options gives the hall and the front door access to the embedded options.
func (o *ProviderOptions) Options() *ProviderOptions { return o }

// Trusts reports whether an attribute is taken without further proof.
func (o *ProviderOptions) Trusts(what string) bool {
	for _, t := range o.Trust {
		if t == what {
			return true
		}
	}
	return false
}

// ProviderGuest is what every provider guest is: it embeds ProviderOptions.
type ProviderGuest interface{ Options() *ProviderOptions }

// AttributeLister is a provider that can name attributes it gives: those that are
// configured, and those that are usual. Others may come, too.
type AttributeLister interface{ Attributes() []string }

// Provider is a configured provider: a guest and its name.
type Provider struct {
	Name  string
	Type  string
	Guest ProviderGuest
}

// Realm is where its subjects live: as configured, else under the first name
// the provider had, so that a rename keeps everybody's key (I05).
func (p *Provider) Realm() string {
	o := p.Guest.Options()
	switch {
	case o.Realm != "":
		return o.Realm
	case len(o.Formerly) > 0:
		return o.Formerly[0]
	}
	return p.Name
}

// Called reports whether a name is or was this provider's.
func (p *Provider) Called(name string) bool {
	return p.Name == name || slices.Contains(p.Guest.Options().Formerly, name)
}

// Title is what a person reads on a button.
func (p *Provider) Title() string {
	if t := p.Guest.Options().Title; t != "" {
		return t
	}
	return p.Name
}

// Redirector is a provider that the browser is sent to (OIDC, SAML).
type Redirector interface {
	// Begin answers a Redirect or Post outcome and private state that Finish gets
	// back. An unreachable provider is Refuse(ReasonProviderDown, …).
	Begin(ctx context.Context, s Start) (Outcome, []byte, error)
	// Handle finds the state parameter: unverified, only to find the pending login.
	// Missing or doubled is an error.
	Handle(c Callback) (string, error)
	// Finish verifies the answer against the private state. Every error is a Refusal.
	Finish(ctx context.Context, c Callback, private []byte) (Proof, error)
}

// Initiator is a provider that may begin a login by sending the browser to us
// (OIDC Core §4).
type Initiator interface {
	// Initiates reports whether this is what the provider calls itself.
	Initiates(iss string) bool
}

// Start is what a login begins with.
type Start struct {
	// CallbackURL is the redirect URI; Handle the opaque state to send and get back.
	CallbackURL, Handle string
	// ACR and MaxAge (-1: none) are asked for; Fresh asks for credentials again.
	ACR    []string
	MaxAge time.Duration
	Fresh  bool
	// Insist: what the provider is configured to ask for must come back, and that it
	// asked anew must be seen. Otherwise that is for conditions to judge.
	Insist    bool
	LoginHint string
}

// PasswordVerifier is a provider that checks a name and a password (local, LDAP).
type PasswordVerifier interface {
	// VerifyPassword answers ErrCredentials for unknown, locked and wrong alike, after
	// the same work. The budget was taken before the call (I08).
	VerifyPassword(ctx context.Context, name, password string) (Proof, error)
}

// Speller is a PasswordVerifier for which several names mean one account.
type Speller interface {
	// Account answers under what else the tries to sign in with a name are counted, so
	// that spellings do not multiply guesses (M2). It must not show whether anybody has
	// the name. An error is one of VerifyPassword's, never ErrCredentials.
	Account(ctx context.Context, name string) ([]string, error)
}

// Voucher is a provider that can be asked again for somebody it vouched for, without
// them: who is gone there does not get in by a passkey any more.
type Voucher interface {
	// Vouch answers the person of a subject as they are now, and until when their account
	// is good: what Proof.NotAfter is of a login there, zero too. ErrCredentials: there is
	// no such account, or it is switched off.
	Vouch(ctx context.Context, subject string) (u User, notAfter time.Time, err error)
}

// RequestVerifier is a provider that finds in each request who it is from (a system in
// front of us, I18). Nobody is asked: a login takes what it says, and a session that
// rests on it is compared with every request.
type RequestVerifier interface {
	// Reads are the headers it reads. The hall captures them in all spellings, and then
	// strips them.
	Reads() []string
	// VerifyRequest reads Peer, Certificate and Captured of a request. An error that wraps
	// ErrNobody says that the request names nobody; any other that it could not be told.
	VerifyRequest(ctx context.Context, r *Request) (Proof, error)
}

// Negotiator is a provider that browsers answer by themselves, without the person (SPNEGO,
// RFC 4559): by what they were given when the person signed in to their computer.
type Negotiator interface {
	// Unasked reports whether the browser of a request is asked before the person chooses.
	Unasked(r *Request) bool
	// Negotiate verifies what the browser of r answered. Evidence.At is when the person
	// signed in to their computer, and Once has a mark of the answer. Refused with
	// ReasonTicketRefused the person goes on to another provider; every other Refusal ends
	// the attempt.
	Negotiate(ctx context.Context, r *Request, token []byte) (Proof, error)
}

// Finder is a provider that says who has a login name, for another that verified them.
type Finder interface {
	// FindPerson answers the person of an account name, and what else comes with a login.
	// ErrNotFound: nobody has it, or several. What is refused of an account that could not
	// sign in here either is a Refusal, and so is what could not be asked.
	FindPerson(ctx context.Context, account string) (Proof, error)
}

// ErrNobody says that a request does not tell who it is from.
var ErrNobody = errors.New("the request names nobody")

// Refresher renews a login from its tokens.
type Refresher interface {
	// Refreshes reports whether it does so at all, as configured now.
	Refreshes() bool
	// Refresh asks the provider anew. ErrInvalidGrant and what is refused as
	// another person's, or as an answer that does not verify, end the session; any
	// other error means later. Tokens beside such an error replace the old ones,
	// which the provider may have used up.
	Refresh(ctx context.Context, tokens []byte) (Proof, error)
}

// Ender ends the login at the provider, after ours ended.
type Ender interface {
	// LogoutRequest answers a Redirect or Post, or nil when the provider has no such thing.
	// state comes back at postLogout.
	LogoutRequest(ctx context.Context, g Grant, postLogout, state string) (Outcome, error)
}

// BackchannelLogout is a provider that can tell us that a login ended (OIDC Back-Channel Logout 1.0).
type BackchannelLogout interface {
	// VerifyLogout verifies a logout token (§2.6). Every error is a Refusal.
	VerifyLogout(ctx context.Context, token string) (LogoutClaim, error)
}

// FrontchannelLogout is a provider that has the person's browser load an address
// of ours in a frame when a login ended there (OIDC Front-Channel Logout 1.0).
type FrontchannelLogout interface {
	// VerifyFrame checks the issuer and session id that the address carried (§2) and
	// answers the origin whose pages may frame ours. Nothing of it is signed: who knows
	// a sid may end it, so one that could be guessed is refused. Every error is a Refusal.
	VerifyFrame(ctx context.Context, issuer, sid string) (framer string, err error)
}

// LogoutClaim says whose sessions end: one sid, or all of a subject.
type LogoutClaim struct {
	Subject, SID string
	// LogoutKeys end the sessions whose Proof had one of them.
	LogoutKeys []string
	IssuedAt   time.Time
	// Once is consumed before anything ends (jti).
	Once Mark
}

// Health is what a provider says of itself.
type Health interface {
	// Health answers nil when the provider can be used now.
	Health() error
}

// Checker is a provider that can be asked whether people can sign in there now.
type Checker interface {
	// Check asks it anew, for nobody: nothing that a browser brought may change the
	// answer (I23). ctx bounds the wait. Nil: they can.
	Check(ctx context.Context) error
}
