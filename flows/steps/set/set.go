// Package set is the step that gives a user an attribute.
package set

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Set{})
}

// Set computes an attribute of the user, for conditions and headers behind it.
// An expression that fails ends the flow: a half-made user is nobody (I22).
type Set struct {
	// Attribute is the name, as in user.<name>; reserved names cannot be set.
	Attribute string `json:"attribute"`
	// CEL is the expression for its value.
	CEL string `json:"cel"`
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`

	value flows.Expression
}

// CaddyModule returns the Caddy module information.
func (Set) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.set", New: func() caddy.Module { return new(Set) }}
}

var validAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Validate refuses names that have a meaning of their own.
func (s *Set) Validate() error {
	switch {
	case !validAttribute.MatchString(s.Attribute):
		return fmt.Errorf("set: '%s' cannot name an attribute: letters, digits, _ and -", s.Attribute)
	case slices.Contains(flows.ReservedAttributes, s.Attribute):
		return fmt.Errorf("set: user.%s is reserved, as are: %s", s.Attribute, strings.Join(flows.ReservedAttributes, ", "))
	case strings.TrimSpace(s.CEL) == "":
		return fmt.Errorf("set %s: the expression is empty", s.Attribute)
	}
	return nil
}

// Bind compiles the expression.
func (s *Set) Bind(reg flows.Registry) (err error) {
	s.value, err = reg.Expression(s.CEL, s.Source)
	return err
}

// Enter sets the attribute on a copy of the user.
func (s *Set) Enter(_ context.Context, x *flows.Execution) (flows.Outcome, error) {
	v, err := s.value.Value(x.Facts())
	if err == nil && x.User == nil {
		err = errors.New("there is no user yet")
	}
	if err != nil {
		err = fmt.Errorf("setting user.%s: %w", s.Attribute, err)
		return flows.Deny(flows.Denial{Reason: flows.ReasonConditionError, Source: s.Source, Err: err}), nil
	}
	x.SetDerived(flows.Derived{Name: s.Attribute, CEL: s.CEL, Source: s.Source}, v)
	return flows.Continue(), nil
}

// Produces is the attribute.
func (s *Set) Produces() []string { return []string{"user." + s.Attribute} }

// Conditions are what it reads, and the user it belongs to.
func (s *Set) Conditions() []flows.Named { return []flows.Named{s.value, needsUser(s.Source)} }

// needsUser reads a user's key: a set in front of every login is a load error.
type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// SourceLine is the file and line.
func (s *Set) SourceLine() string { return s.Source }

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	set <attribute> "<cel>"
func (s *Set) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	s.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("set takes an attribute and an expression in quotes, not %d words", len(args))
	}
	s.Attribute, s.CEL = args[0], args[1]
	if err := s.Validate(); err != nil {
		return d.WrapErr(err)
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("set has no block, but there is '%s'", d.Val())
	}
	return nil
}

var (
	_ flows.Step            = (*Set)(nil)
	_ flows.Binder          = (*Set)(nil)
	_ flows.Producer        = (*Set)(nil)
	_ flows.Consumer        = (*Set)(nil)
	_ flows.Sourced         = (*Set)(nil)
	_ caddy.Validator       = (*Set)(nil)
	_ caddyfile.Unmarshaler = (*Set)(nil)
)
