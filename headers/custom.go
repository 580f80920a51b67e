package headers

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// CustomConfig is an operator's own dialect as configured.
type CustomConfig struct {
	// Base is a dialect whose headers and options are the starting point.
	Base string `json:"base,omitempty"`
	// Headers go out beside those of the base, or instead of them.
	Headers []*CustomHeader `json:"headers,omitempty"`
	// Groups is the header that holds the groups.
	Groups string `json:"groups,omitempty"`
	// How values become headers where a header says nothing else; default: as the base.
	flows.HeaderOptions
	// Strip are further names, or families ("Prefix*"), that no client may send.
	Strip []string `json:"strip,omitempty"`
	flows.Leaving
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// CustomHeader is one header of an operator's own dialect.
type CustomHeader struct {
	// Name is sent in exactly this case; Value is a template of {user.*} names.
	Name  string `json:"name"`
	Value string `json:"value"`
	flows.HeaderOptions
	// Source is the file and line it was written at.
	Source string `json:"source,omitempty"`
}

// Custom is an operator's own dialect. It is safe for concurrent use.
type Custom struct {
	base  flows.Dialect
	own   []*OwnHeader
	strip []string
	leave flows.Leave
	// covered are the classes that own headers write instead of the base.
	covered []string
}

// NewCustom checks a configuration. base is the dialect it names, set up with the
// options of the configuration, or nil.
func NewCustom(c *CustomConfig, base flows.Dialect) (*Custom, error) {
	d, o, more := &Custom{base: base, strip: c.Strip}, c.HeaderOptions, []string(nil)
	if b, ok := base.(interface{ ValueOptions() *flows.HeaderOptions }); ok {
		o = o.Or(*b.ValueOptions())
	}
	if b, ok := base.(flows.Encoder); ok {
		more = b.Encodings()
	}
	if err := errors.Join(o.Validate(more...), c.Leaving.Validate()); err != nil {
		return nil, err
	}
	list := slices.Clone(c.Headers)
	if c.Groups != "" {
		list = append(list, &CustomHeader{Name: c.Groups, Value: "{user.groups}"})
	}
	for _, h := range list {
		own, err := NewOwnHeader(h.Name, h.Value, h.Or(o), more...)
		switch {
		case err != nil:
			return nil, err
		case inClass(d.covered, h.Name):
			return nil, fmt.Errorf("header %s is written twice", h.Name)
		}
		d.own, d.covered = append(d.own, own), append(d.covered, Fold(h.Name))
	}
	for _, n := range c.Strip {
		if err := ValidateOwned(n); err != nil {
			return nil, fmt.Errorf("strip: %w", err)
		}
	}
	if len(d.own) == 0 && (base == nil || len(base.Owned()) == 0) {
		return nil, errors.New("it sends nothing: there is neither a header nor a base that has some")
	}
	d.leave = c.Leave(nil)
	if l, ok := base.(flows.Leaver); ok {
		d.leave.Paths = append(l.Leave().Paths, d.leave.Paths...)
		d.leave.Cookies = append(l.Leave().Cookies, d.leave.Cookies...)
	}
	return d, nil
}

// Owned is all of the base, whichever of it is sent, and what the operator added.
func (d *Custom) Owned() (names []string) {
	if d.base != nil {
		names = slices.Clone(d.base.Owned())
	}
	more := d.strip
	for _, h := range d.own {
		more = append(more[:len(more):len(more)], h.Name)
	}
	for _, n := range more {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// PerRequest are those of the base that are not replaced, and own headers that change.
func (d *Custom) PerRequest() (names []string) {
	if d.base != nil {
		for _, n := range d.base.PerRequest() {
			if !inClass(d.covered, n) {
				names = append(names, n)
			}
		}
	}
	for _, h := range d.own {
		names = append(names, h.PerRequest()...)
	}
	return names
}

// Headers writes them; an own header replaces the base's in any spelling.
func (d *Custom) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	if d.base != nil {
		if err := d.base.Headers(f, &without{w, d.covered}); err != nil {
			return err
		}
	}
	for _, h := range d.own {
		if err := h.Headers(f, w); err != nil {
			return err
		}
	}
	return nil
}

// Anonymous is what the base says of nobody: own headers are about somebody.
func (d *Custom) Anonymous(w flows.HeaderWriter) error {
	if a, ok := d.base.(flows.AnonymousDialect); ok {
		return a.Anonymous(w)
	}
	return nil
}

// Tokens are those of the base that are not replaced.
func (d *Custom) Tokens() (names []string) {
	if a, ok := d.base.(flows.Asserter); ok {
		for _, n := range a.Tokens() {
			if !inClass(d.covered, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// Attributes are those that claims of the base show.
func (d *Custom) Attributes() []string {
	if a, ok := d.base.(interface{ Attributes() []string }); ok {
		return a.Attributes()
	}
	return nil
}

// Algorithms are those of the base.
func (d *Custom) Algorithms() []string {
	if a, ok := d.base.(flows.Asserter); ok {
		return a.Algorithms()
	}
	return nil
}

// Assert tells the base who signs.
func (d *Custom) Assert(s flows.Signer) {
	if a, ok := d.base.(flows.Asserter); ok {
		a.Assert(s)
	}
}

// PublishKeys answers what the base does.
func (d *Custom) PublishKeys(path string, keys []flows.PublicKey) (flows.Document, error) {
	if p, ok := d.base.(flows.KeyPublisher); ok {
		return p.PublishKeys(path, keys)
	}
	return flows.Document{}, flows.ErrNotFound
}

// Leave is the base's, and what the operator added.
func (d *Custom) Leave() flows.Leave { return d.leave }

// without is a writer that does not take some classes.
type without struct {
	flows.HeaderWriter
	classes []string
}

// Until goes through to the writer.
func (w *without) Until(t time.Time) { flows.Until(w.HeaderWriter, t) }

func (w *without) Wants(name string) bool {
	return !inClass(w.classes, name) && flows.Wants(w.HeaderWriter, name)
}

func (w *without) Set(name string, values []string, o flows.HeaderOptions) error {
	if inClass(w.classes, name) {
		return nil
	}
	return w.HeaderWriter.Set(name, values, o)
}

var (
	_ flows.AnonymousDialect = (*Custom)(nil)
	_ flows.Leaver           = (*Custom)(nil)
	_ flows.Asserter         = (*Custom)(nil)
	_ flows.KeyPublisher     = (*Custom)(nil)
	_ flows.Chooser          = (*without)(nil)
	_ flows.Perishable       = (*without)(nil)
)
