// Package mfa is the step that asks for one more factor than the login.
package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(MFA{})
}

// MFA asks for any one of its factors that the person has enrolled, the one used
// last first. It is satisfied by evidence of one of them in the session (I01).
type MFA struct {
	// The factors to choose from, by kind.
	Factors []string `json:"factors"`
	// What happens to who has enrolled none of them: require (default) has them enrol one
	// now, if more than a password vouches for them, and refuses them otherwise; allow
	// offers it to the same people and lets everybody go on; deny refuses. More than a
	// password is a provider that asked for a second factor itself, or a code of the
	// factor email or sms, which need not be named here. add is for the gateway's own
	// account page: the factor that was chosen there is set up.
	Enroll string `json:"enroll,omitempty"`
	// How long a person may have this browser trusted for, by a box on the factor's page:
	// in whole hours, at most 365 days. Default: there is no box.
	Remember caddy.Duration `json:"remember,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	factors map[string]flows.Factor
	// proofs are the factors that may prove more than a password before a first one is
	// set up, by kind: codes to an address that somebody vouches for (I07).
	proofs map[string]flows.Implied
}

// The values of Enroll.
const (
	enrollRequire = "require"
	enrollAllow   = "allow"
	enrollDeny    = "deny"
	enrollAdd     = "add"
)

// proving are the kinds of proofs, the better one first.
var proving = []string{"email", "sms"}

// CaddyModule returns the Caddy module information.
func (MFA) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.mfa", New: func() caddy.Module { return new(MFA) }}
}

// Provision fills the defaults.
func (m *MFA) Provision(caddy.Context) error {
	if m.Enroll == "" {
		m.Enroll = enrollRequire
	}
	return nil
}

// Validate refuses what does not depend on other guests.
func (m *MFA) Validate() error {
	if len(m.Factors) == 0 {
		return errors.New("mfa names no factor")
	}
	for i, kind := range m.Factors {
		if slices.Contains(m.Factors[:i], kind) {
			return fmt.Errorf("mfa names factor '%s' twice", kind)
		}
	}
	if err := validRemember(time.Duration(m.Remember)); err != nil {
		return err
	}
	switch m.Enroll {
	case "", enrollRequire, enrollAllow, enrollDeny, enrollAdd:
		return nil
	}
	return fmt.Errorf("mfa: enroll is require, allow or deny, not '%s'", m.Enroll)
}

// Bind resolves the factors.
func (m *MFA) Bind(r flows.Registry) error {
	m.factors = map[string]flows.Factor{}
	alone := true
	for _, kind := range m.Factors {
		f, err := r.Factor(kind)
		if err != nil {
			return m.at(err)
		}
		if _, spare := f.(flows.Spare); !spare {
			alone = false
		}
		m.factors[kind] = f
	}
	m.proofs = map[string]flows.Implied{}
	for _, kind := range proving {
		if f, err := r.Factor(kind); err == nil { // else there is none
			if i, ok := f.(flows.Implied); ok {
				m.proofs[kind] = i
			}
		}
	}
	if alone {
		return m.at(fmt.Errorf("mfa %s only stands in for other factors; name one of those, too", strings.Join(m.Factors, " ")))
	}
	return nil
}

func (m *MFA) at(err error) error {
	if m.Source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", m.Source, err)
}

// Enter is satisfied, asks for a factor, or has one enrolled.
func (m *MFA) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if m.Enroll == enrollAdd {
		return m.add(ctx, x)
	}
	if m.satisfied(x) {
		return flows.Continue(), nil
	}
	if x.User == nil || x.Env.Enrolments == nil {
		return nil, errors.New("mfa: nobody has signed in yet")
	}
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 {
		return m.enter(ctx, x)
	}
	switch ok, err := m.trusted(ctx, x); {
	case err != nil:
		return nil, err
	case ok:
		return flows.Continue(), nil
	}
	return m.challenge(ctx, x, own, own[0].Factor)
}

// satisfied reports whether this session proved one of the factors, in a login by
// passkey, too. Trust in a device is none (I03).
func (m *MFA) satisfied(x *flows.Execution) bool {
	return slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		return x.Honours(&e) && (e.Provider == "" || e.Provider == flows.Passkey) && slices.Contains(m.Factors, e.Method)
	})
}

// enrolled are the person's records of the factors of this step, the one used last
// first, then those that need no enrolment. What only stands in for others is behind
// them: a code off a list that was used once, or handed out just now, is not what a
// person wants to be asked for.
func (m *MFA) enrolled(ctx context.Context, x *flows.Execution) ([]flows.Record, error) {
	all, err := x.Env.Enrolments.List(ctx, x.User.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the factors of %s: %w", x.User.Key, err)
	}
	own := slices.DeleteFunc(all, func(r flows.Record) bool { return m.factors[r.Factor] == nil })
	for _, kind := range m.Factors {
		if f, ok := m.factors[kind].(flows.Implied); ok {
			own = append(own, f.Imply(x.User)...)
		}
	}
	slices.SortStableFunc(own, func(a, b flows.Record) int { return m.spare(a.Factor) - m.spare(b.Factor) })
	return own, nil
}

// spare is 1 for a kind that only stands in for others.
func (m *MFA) spare(kind string) int {
	if _, spare := m.factors[kind].(flows.Spare); spare {
		return 1
	}
	return 0
}

// Resume takes an answer to a challenge, a choice of another factor, or a step
// of an enrolment.
func (m *MFA) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	k, err := m.kept(x)
	if err != nil {
		return nil, err
	}
	switch {
	case k.Enrolling:
		return m.resumeEnrol(ctx, x, k, in)
	case k.For != "":
		return m.resumeProof(ctx, x, k, in)
	}
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 { // removed meanwhile: what is asked is not what was shown
		return m.enter(ctx, x)
	}
	k.Remember = in.Value("remember") != ""
	if other := in.Value("factor"); other != "" {
		if has(own, other) {
			return m.challenge(ctx, x, own, other)
		}
		return m.ask(x, k, own, ""), nil
	}
	if !has(own, k.Factor) {
		return m.challenge(ctx, x, own, own[0].Factor)
	}
	return m.verify(ctx, x, k, own, in)
}

// Show draws the page again: nothing is sent and nothing is counted (I28).
func (m *MFA) Show(ctx context.Context, x *flows.Execution) (flows.Page, error) {
	k, err := m.kept(x)
	if err != nil {
		return flows.Page{}, err
	}
	switch {
	case k.Enrolling:
		return m.enrolPage(x, k, ""), nil
	case k.For != "":
		return m.proofPage(x, k, m.implied(x), ""), nil
	}
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return flows.Page{}, err
	}
	return m.page(x, k, own, ""), nil
}

// Conditions say that somebody must have signed in before.
func (m *MFA) Conditions() []flows.Named { return []flows.Named{reads{m.Source}} }

type reads struct{ source string }

func (reads) Reads() []string  { return []string{"user.key"} }
func (r reads) Source() string { return r.source }

// Reaches names the factors.
func (m *MFA) Reaches() []string {
	var names []string
	for _, kind := range m.Factors {
		names = append(names, "factor:"+kind)
	}
	return names
}

// SourceLine is the file and line.
func (m *MFA) SourceLine() string { return m.Source }

func has(own []flows.Record, kind string) bool {
	return slices.ContainsFunc(own, func(r flows.Record) bool { return r.Factor == kind })
}

var (
	_ flows.Resumer         = (*MFA)(nil)
	_ flows.Shower          = (*MFA)(nil)
	_ flows.Binder          = (*MFA)(nil)
	_ flows.Consumer        = (*MFA)(nil)
	_ flows.Reacher         = (*MFA)(nil)
	_ flows.Sourced         = (*MFA)(nil)
	_ caddy.Provisioner     = (*MFA)(nil)
	_ caddy.Validator       = (*MFA)(nil)
	_ caddyfile.Unmarshaler = (*MFA)(nil)
)
