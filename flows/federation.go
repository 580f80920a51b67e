package flows

import "context"

// Receiver is a Redirector whose answers are whole signed messages that come as
// cross-site POSTs, so without the browser's cookies (SAML). Its redirect URI is
// /.identity/<type>/<provider>/acs, and Start.Handle is short (at most 80 bytes,
// SAML Bindings §3.5.3) and names the pending login, nothing else.
type Receiver interface {
	Redirector
	// Receive verifies what can be verified without knowing the browser: signature,
	// audience, recipient, time. It grants nothing. Every error is a Refusal.
	Receive(ctx context.Context, c Callback) (Received, error)
}

// Received is a verified answer that has not met its browser yet (I10). Finish
// gets Answer back as Callback.Received and compares it with the pending login.
type Received struct {
	// Handle is Start.Handle as it came back: unverified, only to find the pending login.
	Handle string `json:"handle,omitempty"`
	// Initiated: the provider began by itself, which its configuration allows. Finish
	// is then called without private state.
	Initiated bool `json:"initiated,omitempty"`
	// Name is who signed in, for the page that asks before an initiated login goes on.
	Name string `json:"name,omitempty"`
	// Once are marks that Finish will have consumed: an answer with one that was used
	// before is refused before anything is written.
	Once []Mark `json:"once,omitempty"`
	// Answer is the guest's own, serialised.
	Answer []byte `json:"answer"`
}

// Publisher is a provider that has documents about us for those who run the far
// side (SAML metadata), at /.identity/<type>/<provider>/<name>.
type Publisher interface {
	// Publish answers a document by name; base is the address of the provider's folder
	// on this origin, without a slash at the end. ErrNotFound where there is none.
	Publish(ctx context.Context, name, base string) (Document, error)
}

// Document is what Publish answers.
type Document struct {
	// Type is the media type.
	Type string
	Body []byte
}

// LogoutPeer speaks single logout through the browser, both ways (SAML Profiles
// §4.4), at /.identity/<type>/<provider>/slo.
type LogoutPeer interface {
	Ender
	// ReceiveLogout verifies a message that came there. Every error is a Refusal.
	ReceiveLogout(ctx context.Context, c Callback) (LogoutMessage, error)
	// AnswerLogout makes the answer to a request: a Redirect or Post. Not complete
	// says that some session may live on (PartialLogout).
	AnswerLogout(ctx context.Context, m LogoutMessage, complete bool) (Outcome, error)
}

// LogoutMessage is a verified logout request, or the answer to one of ours.
type LogoutMessage struct {
	// Claim says whose sessions end; nil for an answer.
	Claim *LogoutClaim
	// State is, of an answer, what LogoutRequest was given; unverified beyond the signature.
	State string
	// Failed says that the answer reports anything but success.
	Failed bool
	// Private is what AnswerLogout needs.
	Private []byte
}
