package flowstest

import "github.com/sallyport-gateway/sallyport/flows"

// Seen is an outcome opened for a test. Kind is "continue", "take", "ask",
// "redirect", "post" or "deny"; only its own fields are set.
type Seen struct {
	Kind   string
	Block  int
	Page   flows.Page
	URL    string
	Fields []flows.FormField
	Denial flows.Denial
}

// Look opens an outcome; a nil one is the zero Seen.
func Look(o flows.Outcome) Seen {
	var s Seen
	if o != nil {
		_ = o.Accept(&s)
	}
	return s
}

// Continue implements flows.Visitor.
func (s *Seen) Continue() error { *s = Seen{Kind: "continue"}; return nil }

// Take implements flows.Visitor.
func (s *Seen) Take(block int) error { *s = Seen{Kind: "take", Block: block}; return nil }

// Ask implements flows.Visitor.
func (s *Seen) Ask(p flows.Page) error { *s = Seen{Kind: "ask", Page: p}; return nil }

// Redirect implements flows.Visitor.
func (s *Seen) Redirect(url string) error { *s = Seen{Kind: "redirect", URL: url}; return nil }

// Post implements flows.Visitor.
func (s *Seen) Post(url string, fields []flows.FormField) error {
	*s = Seen{Kind: "post", URL: url, Fields: fields}
	return nil
}

// Deny implements flows.Visitor.
func (s *Seen) Deny(d flows.Denial) error { *s = Seen{Kind: "deny", Denial: d}; return nil }

var _ flows.Visitor = (*Seen)(nil)
