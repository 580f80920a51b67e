// Package lookup is the step that gives a user attributes that a directory knows.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(new(Lookup))
}

// What a step does when a directory does not know enough, or cannot be asked.
const (
	deny    = "deny"
	goOn    = "continue"
	patient = 10 * time.Second // with a directory
)

// Lookup asks a directory about the user and gives them attributes of what it
// knows. They stay when the provider's claims are renewed.
type Lookup struct {
	// The directory to ask.
	Directory string `json:"directory"`
	// The attribute of the directory that says who it is.
	By string `json:"by"`
	// The value it must have: a text with {user.<attribute>} in it. An attribute that
	// is missing, or a list of several, finds nobody.
	Value string `json:"value"`
	// What the user gets. At least one.
	Attributes []Attribute `json:"attributes,omitempty"`
	// What happens when nobody is found, or not all of the attributes: deny (the
	// default) or continue, without what is missing. Several who could be meant are
	// always denied.
	Missing string `json:"missing,omitempty"`
	// What happens when the directory cannot be asked: deny (the default: 503) or
	// continue, without the attributes.
	Unavailable string `json:"unavailable,omitempty"`
	// What is found replaces an attribute the user has already; default: it stays.
	Overwrite bool `json:"overwrite,omitempty"`
	// How long an answer is used again for the same value; default: it is not.
	Cache caddy.Duration `json:"cache,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	directory flows.Directory
	value     flows.Template
	known     *flows.FindCache
	now       func() time.Time
}

// Attribute is one that the user gets.
type Attribute struct {
	// The name, as in user.<name>; reserved names cannot be given.
	Attribute string `json:"attribute"`
	// Its name in the directory; a dotted path leads into nested ones.
	From string `json:"from"`
}

// CaddyModule returns the Caddy module information.
func (*Lookup) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.lookup", New: func() caddy.Module { return new(Lookup) }}
}

var validAttribute = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Validate refuses what does not depend on other guests.
func (l *Lookup) Validate() error {
	switch {
	case l.Directory == "":
		return errors.New("lookup names no directory")
	case l.By == "" || l.Value == "":
		return fmt.Errorf("lookup %s: who is looked for? As in: by mail {user.email}", l.Directory)
	case len(l.Attributes) == 0:
		return fmt.Errorf("lookup %s gives no attribute; as in: attribute employee_id employeeNumber", l.Directory)
	case l.Cache < 0:
		return fmt.Errorf("lookup %s: cache must not be negative", l.Directory)
	}
	for _, w := range []struct{ name, is string }{{"missing", l.Missing}, {"unavailable", l.Unavailable}} {
		if w.is != "" && w.is != deny && w.is != goOn {
			return fmt.Errorf("lookup %s: %s is deny or continue, not '%s'", l.Directory, w.name, w.is)
		}
	}
	if _, err := l.parse(); err != nil {
		return fmt.Errorf("lookup %s: %w", l.Directory, err)
	}
	for i, a := range l.Attributes {
		switch {
		case !validAttribute.MatchString(a.Attribute):
			return fmt.Errorf("lookup %s: '%s' cannot name an attribute: letters, digits, _ and -", l.Directory, a.Attribute)
		case slices.Contains(flows.ReservedAttributes, a.Attribute):
			return fmt.Errorf("lookup %s: user.%s is reserved, as are: %s", l.Directory, a.Attribute, strings.Join(flows.ReservedAttributes, ", "))
		case a.From == "":
			return fmt.Errorf("lookup %s: where does user.%s come from?", l.Directory, a.Attribute)
		case slices.ContainsFunc(l.Attributes[:i], func(o Attribute) bool { return o.Attribute == a.Attribute }):
			return fmt.Errorf("lookup %s gives user.%s twice", l.Directory, a.Attribute)
		}
	}
	return nil
}

func (l *Lookup) parse() (flows.Template, error) {
	t, err := flows.ParseTemplate(l.Value)
	if err == nil && len(t.Reads()) == 0 {
		err = fmt.Errorf("'%s' names nothing of the user, so everybody would be the same; write {user.<attribute>}", l.Value)
	}
	return t, err
}

// Bind finds the directory.
func (l *Lookup) Bind(r flows.Registry) (err error) {
	if l.value, err = l.parse(); err != nil {
		return err
	}
	l.now, l.known = r.Now, flows.NewFindCache(time.Duration(l.Cache))
	if l.directory, err = r.Directory(l.Directory); err != nil {
		return err
	}
	if err := flows.FindsBy(l.directory, l.By); err != nil {
		return fmt.Errorf("lookup %s: %w", l.Directory, err)
	}
	return nil
}

// Enter looks the user up. What it does not find out is nobody's word for anything.
func (l *Lookup) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil {
		return l.refuse(flows.ReasonConditionError, errors.New("there is no user yet")), nil
	}
	value, whole := l.value.Of(x.User, nil)
	if !whole {
		value = "" // what is missing, or a list, finds nobody
	}
	found, err := l.find(ctx, value)
	switch {
	case errors.Is(err, flows.ErrAmbiguous), errors.Is(err, flows.ErrNotFound) && l.Missing != goOn:
		return l.refuse(flows.ReasonNotInDirectory, fmt.Errorf("directory %s: %s: %w", l.Directory, l.By, err)), nil
	case errors.Is(err, flows.ErrNotFound):
		return flows.Continue(), nil
	case err != nil && l.Unavailable == goOn:
		return flows.Continue(), nil
	case err != nil:
		return nil, flows.Refuse(flows.ReasonDirectoryDown, fmt.Errorf("directory %s: %w", l.Directory, err))
	}
	return l.give(x, found), nil
}

// give hands over what was found: all of it, or what there is where that will do.
func (l *Lookup) give(x *flows.Execution, found flows.Attributes) flows.Outcome {
	for _, a := range l.Attributes {
		if l.Missing != goOn && found.At(a.From) == nil {
			return l.refuse(flows.ReasonNotInDirectory, fmt.Errorf("directory %s: the entry has no %s", l.Directory, a.From))
		}
	}
	for _, a := range l.Attributes {
		v := found.At(a.From)
		_, has := x.User.Attribute(a.Attribute)
		if v != nil && (l.Overwrite || !has) {
			x.SetDerived(flows.Derived{Name: a.Attribute, Directory: l.Directory, Source: l.Source}, v)
		}
	}
	return flows.Continue()
}

func (l *Lookup) refuse(reason flows.Reason, err error) flows.Outcome {
	return flows.Deny(flows.Denial{Reason: reason, Source: l.Source, Err: err})
}

func (l *Lookup) find(ctx context.Context, value string) (flows.Attributes, error) {
	if value == "" {
		return nil, fmt.Errorf("%w: the user has no value to be looked up by", flows.ErrNotFound)
	}
	now := l.now()
	if a, err, ok := l.known.Get(value, now); ok {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	a, err := l.directory.Find(ctx, l.By, value)
	if err == nil || errors.Is(err, flows.ErrNotFound) {
		l.known.Put(value, a, err, now)
	}
	return a, err
}

func (l *Lookup) names() (names []string) {
	for _, a := range l.Attributes {
		names = append(names, "user."+a.Attribute)
	}
	return names
}

// Produces are the attributes, if nobody gets past it without them.
func (l *Lookup) Produces() []string {
	if l.Missing == goOn || l.Unavailable == goOn {
		return nil
	}
	return l.names()
}

// MayProduce are the attributes, if somebody may get past it without them.
func (l *Lookup) MayProduce() []string {
	if l.Missing == goOn || l.Unavailable == goOn {
		return l.names()
	}
	return nil
}

// Conditions are what it reads, and the user it belongs to.
func (l *Lookup) Conditions() []flows.Named {
	return []flows.Named{reads{append([]string{"user.key"}, l.value.Reads()...), l.Source}}
}

// Reaches is the directory: another meaning of it restarts runs (I28).
func (l *Lookup) Reaches() []string { return []string{"directory:" + l.Directory} }

// SourceLine is where the step was written.
func (l *Lookup) SourceLine() string { return l.Source }

type reads struct {
	names  []string
	source string
}

func (r reads) Reads() []string { return r.names }
func (r reads) Source() string  { return r.source }

// Interface guards
var (
	_ caddy.Validator       = (*Lookup)(nil)
	_ caddyfile.Unmarshaler = (*Lookup)(nil)
	_ flows.Step            = (*Lookup)(nil)
	_ flows.Binder          = (*Lookup)(nil)
	_ flows.Producer        = (*Lookup)(nil)
	_ flows.Perhaps         = (*Lookup)(nil)
	_ flows.Consumer        = (*Lookup)(nil)
	_ flows.Reacher         = (*Lookup)(nil)
	_ flows.Sourced         = (*Lookup)(nil)
)
