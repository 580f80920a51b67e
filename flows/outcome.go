package flows

// Outcome is what a step answers. The set is sealed: a new kind does not
// compile until every Visitor answers it.
type Outcome interface{ Accept(Visitor) error }

// Visitor renders or interprets outcomes; only the engine and the hall have one.
type Visitor interface {
	Continue() error
	Take(block int) error
	Ask(Page) error
	Redirect(url string) error
	Post(url string, fields []FormField) error
	Deny(Denial) error
}

// FormField is one hidden field of a Post outcome.
type FormField struct{ Name, Value string }

// Denial ends a flow. Text is the operator's own words; Err is for the log only.
type Denial struct {
	Reason Reason
	Text   string
	Source string
	Err    error
}

type (
	continueOutcome struct{}
	takeOutcome     struct{ block int }
	askOutcome      struct{ page Page }
	redirectOutcome struct{ url string }
	postOutcome     struct {
		url    string
		fields []FormField
	}
	denyOutcome struct{ denial Denial }
)

// Continue: this step is satisfied, go on with the next.
func Continue() Outcome { return continueOutcome{} }

// Take: a container chose one of its blocks; -1 chooses none.
func Take(block int) Outcome { return takeOutcome{block} }

// Ask: show this page and wait for the answer.
func Ask(p Page) Outcome { return askOutcome{p} }

// Redirect: send the browser away and wait for its return.
func Redirect(url string) Outcome { return redirectOutcome{url} }

// Post: the same by a form that posts itself.
func Post(url string, fields []FormField) Outcome { return postOutcome{url, fields} }

// Deny: the flow ends here.
func Deny(d Denial) Outcome { return denyOutcome{d} }

func (continueOutcome) Accept(v Visitor) error   { return v.Continue() }
func (o takeOutcome) Accept(v Visitor) error     { return v.Take(o.block) }
func (o askOutcome) Accept(v Visitor) error      { return v.Ask(o.page) }
func (o redirectOutcome) Accept(v Visitor) error { return v.Redirect(o.url) }
func (o postOutcome) Accept(v Visitor) error     { return v.Post(o.url, o.fields) }
func (o denyOutcome) Accept(v Visitor) error     { return v.Deny(o.denial) }
