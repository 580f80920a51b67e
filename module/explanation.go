package module

import (
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/headers"
)

// The decisions of an Explanation.
const (
	// ExplainAllowed: the request goes through, and the application is told who it is.
	ExplainAllowed = "allowed"
	// ExplainOpen: it goes through, and the application is told of nobody.
	ExplainOpen = "open"
	// ExplainDenied: it is refused.
	ExplainDenied = "denied"
	// ExplainLogin: the person is asked to sign in.
	ExplainLogin = "login_needed"
	// ExplainFactor: signed in so far, the person is asked for a factor, or to set one up.
	ExplainFactor = "factor_asked"
	// ExplainAsked: a flow asks them something else.
	ExplainAsked = "asked"
	// ExplainStepUp: they have to prove more for this very thing.
	ExplainStepUp = "step_up_needed"
	// ExplainUncovered: no protect judges the address.
	ExplainUncovered = "not_covered"
	// ExplainOwn: it is an address of the gateway's own, or of the application's logout.
	ExplainOwn = "own_page"
)

// Explanation says what would happen to a request, and why. Nothing of it has happened (I26).
type Explanation struct {
	// Decision is allowed, open, denied, login_needed, factor_asked, asked, step_up_needed,
	// not_covered or own_page.
	Decision string `json:"decision"`
	// Status is that of the gateway's answer; 0 where the application answers.
	Status int `json:"status,omitempty"`
	// Reason is what the person is told, by code; Text the operator's own words.
	Reason flows.Reason `json:"reason,omitempty"`
	Text   string       `json:"text,omitempty"`
	// Rule is the file and line that decided.
	Rule string `json:"rule,omitempty"`
	// Error is why it could not be told, for the operator.
	Error string `json:"error,omitempty"`
	// Protect is the file and line of the gate, Flow its flow.
	Protect string `json:"protect,omitempty"`
	Flow    string `json:"flow,omitempty"`
	// User is who was asked for, as the flow would know them.
	User *ExplainedUser `json:"user,omitempty"`
	// Lines are those of the gate, in the order written.
	Lines []ExplainedLine `json:"lines,omitempty"`
	// Path are the steps of the flow that would be run.
	Path []ExplainedStep `json:"path,omitempty"`
	// Page is the kind of the page that a person would see: denied or error, or what the
	// flow asks there; missing where the application answers, or a provider is asked first.
	Page string `json:"page,omitempty"`
	// Audit are the kinds of the entries that the trail would get, in that order.
	Audit []audit.Kind `json:"audit,omitempty"`
	// Factors could be proved, or set up, where the flow would wait; the first is asked for.
	Factors []string `json:"factors,omitempty"`
	// Risk is what the signals contributed; missing where none was read.
	Risk *ExplainedRisk `json:"risk,omitempty"`
	// Headers are what the application would get from us. Of a token only its kind and length.
	Headers []headers.Field `json:"headers,omitempty"`
	// Removed are the request's own headers that would not reach it.
	Removed []string `json:"removed,omitempty"`
	// RemoteUser is what access logs say.
	RemoteUser string `json:"remote_user,omitempty"`
	// Notes say where the explanation is not the whole of it.
	Notes []string `json:"notes,omitempty"`
}

// ExplainedUser is who was asked for.
type ExplainedUser struct {
	Key        flows.UserKey  `json:"key,omitempty"`
	Name       string         `json:"name,omitempty"`
	Provider   string         `json:"provider,omitempty"`
	Email      string         `json:"email,omitempty"`
	Groups     []string       `json:"groups,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	// From is where they are known from: input, session, provider, passkey, card.
	From string `json:"from"`
	// Enrolled are the kinds of factor they have.
	Enrolled []string `json:"enrolled,omitempty"`
}

// ExplainedLine is what one line of the gate said.
type ExplainedLine struct {
	Do string `json:"do"`
	// Condition is the policy or CEL, as written.
	Condition string `json:"condition,omitempty"`
	Source    string `json:"source,omitempty"`
	// Says is true, false or failed; "no match" where the line is not about the request,
	// "not asked" where nobody is signed in.
	Says  string `json:"says"`
	Error string `json:"error,omitempty"`
}

// ExplainedStep is one step of the way.
type ExplainedStep struct {
	Step   string `json:"step"`
	Source string `json:"source,omitempty"`
	// Says is passed, left out, waits, denied or failed.
	Says string `json:"says"`
	// Rule is the line that refused, where that is one inside of the step.
	Rule string `json:"rule,omitempty"`
	// Block is the number of the one that was taken, from 1; 0: none.
	Block int `json:"block,omitempty"`
	// Conditions are those that were asked.
	Conditions []ExplainedLine `json:"conditions,omitempty"`
	// Asks is the kind of the page where it waits, Choices what could be chosen there.
	Asks    string       `json:"asks,omitempty"`
	Choices []string     `json:"choices,omitempty"`
	Reason  flows.Reason `json:"reason,omitempty"`
	Text    string       `json:"text,omitempty"`
	Error   string       `json:"error,omitempty"`
}

// ExplainedRisk is the sum and what it is made of.
type ExplainedRisk struct {
	Score int    `json:"score"`
	Level string `json:"level"`
	// Observed is the score with what steps only look at.
	Observed int                      `json:"observed"`
	Readings map[string]flows.Reading `json:"readings"`
}
