// Package mfa is the step that asks for one more factor than the login.
package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	// offers it to the same people and lets everybody go on; deny refuses.
	Enroll string `json:"enroll,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	factors map[string]flows.Factor
}

// The values of Enroll.
const (
	enrollRequire = "require"
	enrollAllow   = "allow"
	enrollDeny    = "deny"
)

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
	switch m.Enroll {
	case "", enrollRequire, enrollAllow, enrollDeny:
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
	return m.challenge(ctx, x, own, own[0].Factor)
}

// satisfied reports whether this session proved one of the factors, in a login by
// passkey, too. Trust in a device is none (I03).
func (m *MFA) satisfied(x *flows.Execution) bool {
	return slices.ContainsFunc(x.Evidence, func(e flows.Evidence) bool {
		return x.Honours(&e) && (e.Provider == "" || e.Provider == flows.Passkey) && slices.Contains(m.Factors, e.Method)
	})
}

// enrolled are the person's records of the factors of this step: the one used last
// first, and what only stands in for another behind all others.
func (m *MFA) enrolled(ctx context.Context, x *flows.Execution) ([]flows.Record, error) {
	all, err := x.Env.Enrolments.List(ctx, x.User.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the factors of %s: %w", x.User.Key, err)
	}
	own := slices.DeleteFunc(all, func(r flows.Record) bool { return m.factors[r.Factor] == nil })
	slices.SortStableFunc(own, func(x, y flows.Record) int { return m.rank(x) - m.rank(y) })
	return own, nil
}

func (m *MFA) rank(r flows.Record) int {
	if _, spare := m.factors[r.Factor].(flows.Spare); spare {
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
	if k.Enrolling {
		return m.resumeEnrol(ctx, x, k, in)
	}
	own, err := m.enrolled(ctx, x)
	if err != nil {
		return nil, err
	}
	if len(own) == 0 { // removed meanwhile: what is asked is not what was shown
		return m.enter(ctx, x)
	}
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
	if k.Enrolling {
		return m.enrolPage(x, k, ""), nil
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
