package flows

import (
	"crypto/x509"
	"net/url"
	"slices"
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
	// Trusted says that the peer is one of Caddy's trusted_proxies.
	Trusted bool `json:"-"`
	// Header is not serialised with an Execution.
	Header map[string][]string `json:"-"`
	// Captured are the headers that a RequestVerifier reads, in every spelling they came in,
	// as they were before the hall stripped them.
	Captured map[string][]string `json:"-"`
	// Certificate is the client's, if the server verified it.
	Certificate *x509.Certificate `json:"-"`
	// Chains are those by which the server verified it, the certificate first in each.
	Chains [][]*x509.Certificate `json:"-"`
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
	// Proved is when the person last proved who they are all through a flow, by name:
	// with proofs of that run alone, none of which was lent by a session or a device.
	Proved map[string]time.Time
	// SID is the provider's session id; LogoutHint what its logout wants.
	Provider, SID string
}

// DeviceFacts is what is known of the device behind a request.
type DeviceFacts struct {
	// ID stands for what the browser holds since an earlier login of anybody; "": nothing.
	ID string
	// Known says that this person signed in with it before, Trusted that they wanted it
	// remembered.
	Known, Trusted bool
	// Unknown says that it could not be told: then the others mean nothing.
	Unknown bool
}

// Reading is what a signal says. Unknown is a case of its own, not a score of zero.
type Reading struct {
	Score   int    `json:"score"`
	Reason  Reason `json:"reason,omitempty"`
	Text    string `json:"text,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
	// Ref is what the far side calls this reading, where a signal asked one.
	Ref string `json:"ref,omitempty"`
	// Weight and Contribution are what the risk step made of it, Observed that it does
	// not count: the step only looks on. A signal leaves them alone.
	Weight       int     `json:"weight,omitempty"`
	Contribution float64 `json:"contribution,omitempty"`
	Observed     bool    `json:"observed,omitempty"`
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
	// Risk is what they amount to; nil: no risk was read.
	Risk *Risk
	// Locate answers where an address is; nil: no signal knows places.
	Locate func(ip string) Place `json:"-"`
	Now    time.Time
	// Approved are the rules that the person approved this very request for (I20).
	Approved []string
}

// Place is where the request came from, as far as it is known.
func (f *Facts) Place() Place {
	if f.Locate == nil || f.Request == nil {
		return Place{}
	}
	return f.Locate(f.Request.IP)
}

// FactorAt is when one of our own factors was last proved in this session; zero:
// never. What was set up just now proves nothing about who did it (I03).
func (f *Facts) FactorAt() (at time.Time) {
	for i := range f.Evidence {
		if e := &f.Evidence[i]; e.Kind == Direct && e.Provider == "" && e.At.After(at) {
			at = e.At
		}
	}
	return at
}

// TrustsDevice reports whether a person had this browser trusted: no proof of a
// factor (I03), but something a condition may ask for.
func (f *Facts) TrustsDevice() bool {
	return f.Device.Trusted || slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return e.Kind == DeviceTrust })
}

// Newest is the evidence of the latest sign-in; nil if there is none.
func (f *Facts) Newest() (n *Evidence) {
	for i := range f.Evidence {
		if e := &f.Evidence[i]; e.Counts() && (n == nil || !e.At.Before(n.At)) {
			n = e
		}
	}
	return n
}

// ACR is that of the newest evidence which has one.
func (f *Facts) ACR() (acr string) {
	var at time.Time
	for i := range f.Evidence {
		if e := &f.Evidence[i]; e.Counts() && e.ACR != "" && (acr == "" || !e.At.Before(at)) {
			acr, at = e.ACR, e.At
		}
	}
	return acr
}

// AMR unites what all evidence says. It must not be changed: one piece is returned
// as it is.
func (f *Facts) AMR() (amr []string) {
	merged := false
	for i := range f.Evidence {
		e := &f.Evidence[i]
		if !e.Counts() || len(e.AMR) == 0 {
			continue
		}
		if amr == nil {
			amr = e.AMR
			continue
		}
		if !merged {
			amr, merged = slices.Clone(amr), true
		}
		for _, m := range e.AMR {
			if !slices.Contains(amr, m) {
				amr = append(amr, m)
			}
		}
	}
	return amr
}
