package headers

import (
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// OwnHeader is one `header` line of an operator: a dialect of one header.
type OwnHeader struct {
	// Name is sent in exactly this case.
	Name     string
	Template *Template
	Options  flows.HeaderOptions
}

// NewOwnHeader checks and parses a `header` line.
func NewOwnHeader(name, template string, o flows.HeaderOptions) (*OwnHeader, error) {
	if err := ValidateName(name); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
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
	opts := o.Options
	opts.Single = !list
	return w.Set(o.Name, values, opts)
}

var _ flows.Dialect = (*OwnHeader)(nil)
