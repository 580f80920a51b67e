package headers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Plan is what one `protect` sends: its dialects and the operator's own
// headers, checked once when the configuration is loaded. It is safe for
// concurrent use.
type Plan struct {
	sources []source
	late    bool
	// tokens are the alias classes of what is signed.
	tokens []string
	// nobody is what goes out where the application is not told who is there.
	nobody Prebuilt
}

type source struct {
	dialect flows.Dialect
	owned   *Stripper
	// late are the alias classes that are written anew for each request.
	late []string
	// covered are classes that an own header of the operator writes instead.
	covered []string
}

// NewPlan checks that nothing is sent twice: of two headers in one alias class
// an application may read either. An operator's own header wins over a
// dialect's, wherever it was written; everything else is an error.
func NewPlan(dialects ...flows.Dialect) (*Plan, error) {
	p := &Plan{}
	var own []string
	for _, d := range dialects {
		if o, ok := d.(*OwnHeader); ok {
			if inClass(own, o.Name) {
				return nil, fmt.Errorf("header %s is written twice", o.Name)
			}
			own = append(own, Fold(o.Name))
		}
	}
	for _, d := range dialects {
		s := source{dialect: d, owned: NewStripper(d.Owned())}
		if _, ok := d.(*OwnHeader); !ok {
			s.covered = own
			if err := once(p.sources, d.Owned(), s.owned); err != nil {
				return nil, err
			}
		}
		if len(d.Owned()) == 0 {
			return nil, errors.New("a dialect sends nothing: map headers with lines `attribute <Header> <attribute>`")
		}
		for _, n := range d.Owned() {
			if err := ValidateOwned(n); err != nil {
				return nil, err
			}
		}
		for _, n := range d.PerRequest() {
			if !s.owned.Owns(n) {
				return nil, fmt.Errorf("header %s changes per request but is not among the owned ones", n)
			}
			s.late, p.late = append(s.late, Fold(n)), true
		}
		if a, ok := d.(flows.Asserter); ok {
			for _, n := range a.Tokens() {
				p.tokens = append(p.tokens, Fold(n))
			}
		}
		p.sources = append(p.sources, s)
	}
	return p, p.anonymous()
}

// once refuses a name or a family of which another dialect has a part.
func once(others []source, names []string, mine *Stripper) error {
	for _, o := range others {
		if _, ok := o.dialect.(*OwnHeader); ok {
			continue
		}
		for _, n := range names {
			if o.owned.Owns(strings.TrimSuffix(n, "*")) {
				return twice(o.dialect.Owned(), n)
			}
		}
		for _, n := range o.dialect.Owned() {
			if mine.Owns(strings.TrimSuffix(n, "*")) {
				return twice(names, n)
			}
		}
	}
	return nil
}

func twice(owned []string, name string) error {
	other := owned[0]
	for _, n := range owned {
		if NewStripper([]string{n}).Owns(strings.TrimSuffix(name, "*")) {
			other = n
			break
		}
	}
	return fmt.Errorf("two dialects send %s and %s, which many applications cannot tell apart", other, name)
}

// anonymous asks the dialects what they say of nobody.
func (p *Plan) anonymous() error {
	w := &Writer{}
	for i := range p.sources {
		d, ok := p.sources[i].dialect.(flows.AnonymousDialect)
		if !ok {
			continue
		}
		w.from = &p.sources[i]
		if err := d.Anonymous(w); err != nil {
			return err
		}
	}
	p.nobody = Prebuilt{fields: w.fields}
	return nil
}

// Nobody are the headers where the application is not told who is there: those
// of old systems which said so. They are the same for every request.
func (p *Plan) Nobody() Prebuilt { return p.nobody }

// Owned are the names and families that must be stripped from every request of
// every site.
func (p *Plan) Owned() []string {
	var names []string
	for _, s := range p.sources {
		names = append(names, s.dialect.Owned()...)
	}
	return names
}

// Build evaluates what stays the same for a session on this route. An error is
// a refusal: the request must not go on without its headers.
func (p *Plan) Build(f *flows.Facts) (Prebuilt, error) {
	w := &Writer{}
	if err := p.write(f, w, false); err != nil {
		return Prebuilt{}, err
	}
	return Prebuilt{w.fields, w.until, p.tokens}, nil
}

// Outline tells what Build and Inject would send for a request. Nothing is signed, and of
// a token it says only what it is and how long (I26).
func (p *Plan) Outline(f *flows.Facts) ([]Field, error) {
	w := &Writer{outline: true}
	if err := p.write(f, w, false); err != nil {
		return nil, err
	}
	late := &Writer{outline: true}
	if err := p.write(f, late, true); err != nil {
		return nil, err
	}
	fields := append(w.fields, late.fields...)
	return Prebuilt{fields: fields, tokens: p.tokens}.Fields(), nil
}

// Inject writes a session's headers and those of this very request into h,
// which must have been cleaned. After an error nothing was written. room may
// hold the values of this request; too little allocates.
func (p *Plan) Inject(h http.Header, pre Prebuilt, f *flows.Facts, room ...string) error {
	if !p.late {
		inject(h, pre.fields, nil, room)
		return nil
	}
	w := &lateWriter{}
	w.fields = w.buf[:0]
	if err := p.write(f, &w.Writer, true); err != nil {
		return err
	}
	inject(h, pre.fields, w.fields, room)
	return nil
}

// Asserts reports whether the headers hold a token: then they are built for one
// origin, and built anew when they run out.
func (p *Plan) Asserts() bool { return len(p.tokens) > 0 }

// PerRequest reports whether anything is evaluated anew for each request; if
// not, Prebuilt.Inject is all there is to do.
func (p *Plan) PerRequest() bool { return p.late }

func (p *Plan) write(f *flows.Facts, w *Writer, late bool) error {
	for i := range p.sources {
		s := &p.sources[i]
		if late && len(s.late) == 0 {
			continue
		}
		w.from, w.late = s, late
		if err := s.dialect.Headers(f, w); err != nil {
			return err
		}
	}
	return nil
}

// Field is one header as it goes out.
type Field struct{ Name, Value string }

// Prebuilt is a session's headers for one route. It is immutable and shared by
// all requests of the session; its zero value has no headers.
type Prebuilt struct {
	fields []Field
	until  time.Time
	// tokens are alias classes of fields that nobody is shown.
	tokens []string
}

// Good reports whether the headers may still go out.
func (p *Prebuilt) Good(now time.Time) bool { return p.until.IsZero() || now.Before(p.until) }

// Fields lists the headers, for explain and tests. Of a token only what it is and
// how long: who reads it could show it (I26).
func (p Prebuilt) Fields() []Field {
	fields := slices.Clone(p.fields)
	for i, f := range fields {
		if inClass(p.tokens, f.Name) {
			fields[i].Value = fmt.Sprintf("JWT, %d bytes", len(f.Value))
		}
	}
	return fields
}

// Inject writes the headers into h with one allocation.
func (p Prebuilt) Inject(h http.Header) { inject(h, p.fields, nil, nil) }

// inject writes raw map keys: http.Header.Set would send SM_USER as Sm_user.
// The values of one request share one array, but never that of another
// request: handlers behind us edit values in place.
func inject(h http.Header, a, b []Field, room []string) {
	vals := room
	if n := len(a) + len(b); len(vals) < n {
		vals = make([]string, n)
	}
	for i, f := range a {
		vals[i] = f.Value
		h[f.Name] = vals[i : i+1 : i+1]
	}
	rest := vals[len(a):]
	for i, f := range b {
		rest[i] = f.Value
		h[f.Name] = rest[i : i+1 : i+1]
	}
}

// Writer is the HeaderWriter of the gateway. It takes from a dialect only what
// the dialect owns, because only that is stripped from requests.
type Writer struct {
	fields []Field
	from   *source
	late   bool
	until  time.Time
	// outline: nobody gets what is written.
	outline bool
}

// lateWriter has room for the usual number of headers per request: one
// allocation less.
type lateWriter struct {
	Writer
	buf [4]Field
}

// Wants lets a dialect skip what is not asked for now.
func (w *Writer) Wants(name string) bool {
	if w.from == nil {
		return true
	}
	return inClass(w.from.late, name) == w.late && !inClass(w.from.covered, name)
}

// Set encodes one header and keeps it. A later header of the same alias class
// replaces an earlier one.
func (w *Writer) Set(name string, values []string, o flows.HeaderOptions) error {
	if !isToken(name) || w.from != nil && !w.from.owned.Owns(name) {
		return fmt.Errorf("header %q: the dialect writes it but does not own it", name)
	}
	if !w.Wants(name) {
		return nil
	}
	value, present, err := Encode(name, values, o)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(w.fields, func(f Field) bool { return sameClass(f.Name, name) })
	switch {
	case i < 0 && present:
		w.fields = append(w.fields, Field{name, value})
	case i >= 0 && present:
		w.fields[i] = Field{name, value}
	case i >= 0:
		w.fields = slices.Delete(w.fields, i, i+1)
	}
	return nil
}

// Outline says that nobody gets what is written, so that no token is signed for it.
func (w *Writer) Outline() bool { return w.outline }

// Until has the headers built anew at t; the earliest counts.
func (w *Writer) Until(t time.Time) {
	if w.until.IsZero() || t.Before(w.until) {
		w.until = t
	}
}

var (
	_ flows.HeaderWriter = (*Writer)(nil)
	_ flows.Chooser      = (*Writer)(nil)
	_ flows.Perishable   = (*Writer)(nil)
	_ flows.Outliner     = (*Writer)(nil)
)
