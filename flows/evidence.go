package flows

import "time"

// EvidenceKind says where evidence came from when it was not a plain login (I03).
type EvidenceKind string

// The kinds of evidence. Direct is the zero value.
const (
	Direct       EvidenceKind = ""
	Fallback     EvidenceKind = "fallback"
	EnrolledNow  EvidenceKind = "enrolled_now"
	DeviceTrust  EvidenceKind = "device_trust"
	IDPInitiated EvidenceKind = "idp_initiated"
)

// Evidence is one thing that was verified about a person. It is only ever made
// from what was verified, never from what was asked for.
type Evidence struct {
	User     UserKey `json:"user"`
	Provider string  `json:"provider,omitempty"`
	// Method is how: "oidc", "password", later "totp", "webauthn" …
	Method string `json:"method"`
	// AMR are RFC 8176 method references, as the provider spelled them.
	AMR []string `json:"amr,omitempty"`
	// ACR is the authentication context class the provider asserted.
	ACR string `json:"acr,omitempty"`
	// At is when the person proved it (auth_time where known), not when we heard of it.
	At   time.Time    `json:"at"`
	Kind EvidenceKind `json:"kind,omitempty"`
	// For are, of a fallback, the providers that were down.
	For []string `json:"for,omitempty"`
	// Record is the id of the enrolled factor that was proved.
	Record string `json:"record,omitempty"`
	// Credential stands for the password that was checked, and tells nothing of it: it
	// is another one after a change. Empty: the provider cannot say.
	Credential string `json:"credential,omitempty"`
}

// Counts reports whether it says how the person signed in: trust in a device
// never does (I03).
func (e *Evidence) Counts() bool { return e.Kind != DeviceTrust }

// Proof is what a provider answers after it verified somebody. The engine
// fills User.Provider, User.Realm, User.Key and Evidence.User; a provider fills the rest.
type Proof struct {
	User     User
	Evidence []Evidence
	// Issuer is who spoke: issuer URL, entityID, base DN, "local". Bound to the provider's name (I05).
	Issuer string
	// SID is the provider's session id, for single logout; may be empty.
	SID string
	// LogoutKeys are other names under which the provider may end the session (a NameID,
	// or a NameID with a SessionIndex, in a spelling of the guest's own); each suffices.
	LogoutKeys []string `json:",omitempty"`
	// Tokens are the provider's own secrets (ID token for logout, refresh token); opaque to everyone else.
	Tokens []byte
	// NotAfter ends the session early; zero means the session's own limits.
	NotAfter time.Time
	// Issued is when a credential was made that says all this; zero: just now.
	Issued time.Time `json:",omitzero"`
	// Stale is when the provider's word ends and it wants to be asked anew, by
	// Refresher; zero: never.
	Stale time.Time `json:",omitzero"`
	// Once are marks that the engine consumes atomically before anything is granted (I09).
	Once []Mark
}

// Mark is a thing that may happen once: a code, an assertion, a state.
type Mark struct {
	Space string    `json:"space"`
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}
