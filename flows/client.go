package flows

import (
	"context"
	"errors"
	"strings"
	"time"
)

// ClientVerifier is a provider for programs. Each request brings a credential that says
// who sent it; nothing is kept of it: no session, no cookie, no row in the store. It may
// be called concurrently.
type ClientVerifier interface {
	// Scheme is that of the Authorization header it reads (RFC 9110 §11.1); "" if it reads
	// none.
	Scheme() string
	// Presents finds its kind of credential in a request, which it does not judge.
	// ErrNobody: there is none. ErrForeign: there is one, which is another's to judge.
	// Whatever else it answers is a Refusal: invalid_request.
	Presents(r *Request) (ClientCredential, error)
	// VerifyClient judges a credential. An error that wraps ErrCredentials says that it is
	// no good, a Refusal that it is good for nothing here or that there were too many
	// tries; any other that it could not be told, which is never to be read as "no" (I16).
	// Proof.NotAfter is when the credential runs out, Proof.Issued when it was made.
	VerifyClient(ctx context.Context, r *Request, c ClientCredential) (Proof, error)
}

// ClientCredential is what a request shows of the program that sent it: a token, a
// certificate, a name and a password.
type ClientCredential struct {
	// Secret is all of it. What it proved is remembered under a keyed hash of this.
	Secret string
	// Ambient says that a browser sends it by itself, also in requests that the pages of
	// others make it send.
	Ambient bool
}

// ErrForeign says that a credential is of the right kind and another's to judge: the
// token of another issuer.
var ErrForeign = errors.New("the credential is another's")

// Authorization is what stands behind a scheme in a request's Authorization header;
// ErrNobody where it has another scheme or none. A request with two is refused: who
// judges it and who serves it might read different ones (RFC 6750 §2).
func Authorization(r *Request, scheme string) (string, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return "", Refuse(ReasonInvalidRequest, errors.New("more than one Authorization header"))
	}
	if len(values) == 0 {
		return "", ErrNobody
	}
	got, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(got, scheme) {
		return "", ErrNobody
	}
	return strings.Trim(rest, " "), nil
}

// Client is a program that showed who it is, in a run of its own: there is nobody to
// ask, and nowhere to send anybody.
type Client struct {
	Provider *Provider
	Proof    Proof
	// Taken: a login step took the proof. It is good for one.
	Taken bool
}

// ClientStep is a Step that does something else than Enter in the run of a program. A
// Resumer that is none refuses every program: it may have asked somebody.
type ClientStep interface {
	EnterClient(ctx context.Context, x *Execution) (Outcome, error)
}

// enter enters a step as who runs the flow can.
func (x *Execution) enter(ctx context.Context, s Step) (Outcome, error) {
	if x.Env.Client == nil {
		return s.Enter(ctx, x)
	}
	if c, ok := s.(ClientStep); ok {
		return c.EnterClient(ctx, x)
	}
	if _, asks := s.(Resumer); asks {
		return AsksPeople(s), nil
	}
	return s.Enter(ctx, x)
}

// AsksPeople refuses a program at a step that only a person gets past.
func AsksPeople(s Step) Outcome {
	d := Denial{Reason: ReasonInteractionRequired}
	if w, ok := s.(Sourced); ok {
		d.Source = w.SourceLine()
	}
	return Deny(d)
}

// RefusesClients finds a step that refuses every program that runs these: it asks
// people, and no condition stands before it. Nil: there is none.
func RefusesClients(steps []Step) Step {
	for _, s := range steps {
		_, asks := s.(Resumer)
		if _, knows := s.(ClientStep); asks && !knows {
			return s
		}
		c, ok := s.(Container)
		if !ok {
			continue
		}
		if blocks, all := c.Blocks(); all && len(blocks) == 1 { // a sub-flow
			if found := RefusesClients(blocks[0]); found != nil {
				return found
			}
		}
	}
	return nil
}

// WaitError says, in a refusal for too many tries, how long there will be no other.
type WaitError struct{ Wait time.Duration }

func (e *WaitError) Error() string { return "the next try is in " + e.Wait.String() }
