package flows

import (
	"net/url"
	"time"
)

// Request is the read-only view of an HTTP request. Method, Host, Path and Query
// are those of the URL the person asked for; Header and IP those of the request at hand.
type Request struct {
	Method string `json:"method,omitempty"`
	Scheme string `json:"scheme,omitempty"`
	Host   string `json:"host,omitempty"`
	Path   string `json:"path,omitempty"`
	// Query is the raw query, without the question mark.
	Query string `json:"query,omitempty"`
	// IP is the client address after Caddy's trusted_proxies; Peer is the TCP peer.
	IP   string `json:"ip,omitempty"`
	Peer string `json:"peer,omitempty"`
	// Header is not serialised with an Execution.
	Header map[string][]string `json:"-"`
	// Body reads the whole body, up to a cap of the hall's, and leaves it to be
	// read again; too long is an error. Nil where there is none to be read.
	Body func() ([]byte, error) `json:"-"`
	// Native is the hall's own request, for matchers that only the hall can evaluate.
	Native any `json:"-"`
}

// QueryValues parses Query; malformed pairs are dropped.
func (r *Request) QueryValues() url.Values { v, _ := url.ParseQuery(r.Query); return v }

// SessionFacts is what others may know of a session.
type SessionFacts struct {
	// ID is the public id, the only one that ever leaves the gateway (I13).
	ID      string
	Started time.Time
	Seen    time.Time
	Expires time.Time
	// Flows are the flows this session completed: name → digest at that time (I01).
	Flows map[string]string
	// SID is the provider's session id; LogoutHint what its logout wants.
	Provider, SID string
}

// DeviceFacts is what is known of the device behind a request.
type DeviceFacts struct{ Known, Trusted bool }

// Reading is what a signal says. Unknown is a case of its own, not a score of zero.
type Reading struct {
	Score   int    `json:"score"`
	Reason  Reason `json:"reason,omitempty"`
	Text    string `json:"text,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
}

// Facts is the read-only view that signals, policies and dialects decide on.
// The hall builds it for a request, the engine in a flow, a test by hand.
type Facts struct {
	Request  *Request
	User     *User
	Evidence []Evidence
	Session  *SessionFacts
	Device   DeviceFacts
	Readings map[string]Reading
	Now      time.Time
}
