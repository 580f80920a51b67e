package audit

import (
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Kind names an event.
type Kind string

// The kinds of event of this release.
const (
	Login          Kind = "login"
	LoginDenied    Kind = "login_denied"
	Logout         Kind = "logout"
	SessionEnded   Kind = "session_ended"
	SessionChanged Kind = "session_changed"
	HandedOver     Kind = "session_handed_over"
	Denied         Kind = "denied"
	Admin          Kind = "admin"
	// SteppedUp: somebody who is signed in proved again who they are, perhaps for one
	// request; ApprovalUsed: that request was sent on.
	SteppedUp Kind = "step_up"
	// RiskRose: a session is challenged, since it is used from elsewhere or with another device.
	RiskRose     Kind = "risk_rose"
	ApprovalUsed Kind = "approval_used"
	// ClientAdmitted: a program showed a credential, and the flow let it through.
	ClientAdmitted Kind = "client_admitted"
	FactorAdded    Kind = "factor_added"
	ProviderDown   Kind = "provider_down"
	ProviderUp     Kind = "provider_up"
	DrillBegun     Kind = "drill_begun"
	FactorRenamed  Kind = "factor_renamed"
	FactorRemoved  Kind = "factor_removed"
	FactorsReset   Kind = "factors_reset"
	DeviceTrusted  Kind = "device_trusted"
	AnswersKept    Kind = Kind(flows.DeedAnswered)
	AccountMade    Kind = Kind(flows.DeedRegistered)
	ConsentGiven   Kind = Kind(flows.DeedConsented)
	// DeviceForgotten is the end of a device's trust by its person's wish.
	DeviceForgotten Kind = "device_forgotten"
	DataExported    Kind = "data_exported"
	AccountErased   Kind = "account_erased"
	// UserDisabled: an operator keeps somebody out; UserEnabled: and lets them in again.
	UserDisabled Kind = "user_disabled"
	UserEnabled  Kind = "user_enabled"
)

// Event is one entry. It holds no secrets: no codes, tokens, passwords, tickets.
type Event struct {
	// ID is what a person sees on an error page; it finds this entry.
	ID       string        `json:"id"`
	Time     time.Time     `json:"time"`
	Kind     Kind          `json:"kind"`
	User     flows.UserKey `json:"user,omitempty"`
	Name     string        `json:"name,omitempty"`
	Provider string        `json:"provider,omitempty"`
	Flow     string        `json:"flow,omitempty"`
	// Step is the kind of the flow's step that ended a login.
	Step string `json:"step,omitempty"`
	// Factor is the kind of a factor that was added or removed.
	Factor string `json:"factor,omitempty"`
	// Item is what a step kept or did: names of attributes, a document and its version.
	Item string `json:"item,omitempty"`
	// Session is the public id.
	Session string       `json:"session,omitempty"`
	Reason  flows.Reason `json:"reason,omitempty"`
	// Rule is the file and line that decided.
	Rule   string   `json:"rule,omitempty"`
	Text   string   `json:"text,omitempty"`
	Method string   `json:"method,omitempty"`
	Host   string   `json:"host,omitempty"`
	Path   string   `json:"path,omitempty"`
	IP     string   `json:"ip,omitempty"`
	AMR    []string `json:"amr,omitempty"`
	ACR    string   `json:"acr,omitempty"`
	// Approval names what was approved; Show is what the person read of it.
	Approval string      `json:"approval,omitempty"`
	Show     []flows.Row `json:"show,omitempty"`
	// Fallback are the providers that were down, of a login that a fallback stood in for.
	Fallback []string `json:"fallback,omitempty"`
	// Drill is the id of the drill it belongs to.
	Drill string `json:"drill,omitempty"`
	// Risk is what was read in a login or step-up.
	Risk *Risk `json:"risk,omitempty"`
	// Detail is the operator's error text, for denials.
	Detail string `json:"detail,omitempty"`
	// Facts are what it was decided from, of decisions that conditions made.
	Facts *Facts `json:"facts,omitempty"`
	// Correlation is the id of the request it was made by, if the configuration asks for one.
	Correlation string `json:"correlation,omitempty"`
	// Masked are the classes of personal data that this sink gets less of.
	Masked []Class `json:"masked,omitempty"`
	// Person is who it is about as the flow knows them, where that is at hand; it is
	// not written.
	Person *flows.User `json:"-"`
}

// Risk is the score of a login and what it is made of.
type Risk struct {
	Score int    `json:"score"`
	Level string `json:"level"`
	// Observed is the score with what a step only looked at.
	Observed int `json:"observed"`
	// Readings are by signal, each with its weight and what it contributed.
	Readings map[string]flows.Reading `json:"readings"`
}
