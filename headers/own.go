package headers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// OwnHeader is one `header` line of an operator: a dialect of one header.
type OwnHeader struct {
	// Name is sent in exactly this case.
	Name     string
	Template *Template
	Options  flows.HeaderOptions
}

// NewOwnHeader checks and parses a `header` line. more are encodings beyond
// flows.HeaderEncodings.
func NewOwnHeader(name, template string, o flows.HeaderOptions, more ...string) (*OwnHeader, error) {
	if err := ValidateName(name); err != nil {
		return nil, err
	}
	if err := o.Validate(more...); err != nil {
		return nil, fmt.Errorf("header %s: %w", name, err)
	}
	t, err := ParseTemplate(template)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", name, err)
	}
	return &OwnHeader{Name: name, Template: t, Options: o}, nil
}

// Owned is the name itself.
func (o *OwnHeader) Owned() []string { return []string{o.Name} }

// PerRequest is the name if the template reads something that changes by itself.
func (o *OwnHeader) PerRequest() []string {
	if o.Template.PerRequest() {
		return o.Owned()
	}
	return nil
}

// Headers writes it.
func (o *OwnHeader) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	if !flows.Wants(w, o.Name) {
		return nil
	}
	values, list := o.Template.values(f, o.Options.Join)
	return w.Set(o.Name, values, o.options(values, list))
}

// naming are placeholders that say which person it is.
var naming = []string{"user.key", "user.subject", "user.name", "user.email"}

// options for one value: what loses characters must not make two people one (I06).
// `encode ascii` of an operator's own line is taken at its word.
func (o *OwnHeader) options(values []string, list bool) flows.HeaderOptions {
	if !list && len(values) == 1 && strings.HasPrefix(o.Options.Encode, "lcp_") &&
		len(o.Template.parts) == 1 && slices.Contains(naming, o.Template.parts[0].text) {
		return o.Options.ForLogin(values[0])
	}
	opts := o.Options
	opts.Single = !list
	return opts
}

var _ flows.Dialect = (*OwnHeader)(nil)
