package flows

import "errors"

// Reason is a stable code that a person, a program and the audit trail see.
// It is never built from an error's text.
type Reason string

// The reasons. Pages translate them by code; add new ones here only.
const (
	ReasonLoginRequired    Reason = "login_required"
	ReasonNotAllowed       Reason = "not_allowed"
	ReasonConditionError   Reason = "condition_error"
	ReasonBadCredentials   Reason = "bad_credentials"
	ReasonTooManyTries     Reason = "too_many_tries"
	ReasonAccountLocked    Reason = "account_locked"
	ReasonAccountDisabled  Reason = "account_disabled"
	ReasonAccountExpired   Reason = "account_expired"
	ReasonPasswordExpired  Reason = "password_expired"
	ReasonUserMismatch     Reason = "user_mismatch"
	ReasonProviderMismatch Reason = "provider_mismatch"
	ReasonProviderError    Reason = "provider_error"
	ReasonProviderDown     Reason = "provider_unavailable"
	ReasonProviderRefused  Reason = "provider_refused"
	ReasonIssuerChanged    Reason = "issuer_changed"
	ReasonNameMissing      Reason = "name_missing"
	ReasonNameConflict     Reason = "name_conflict"
	ReasonInvalidAnswer    Reason = "invalid_answer"
	ReasonForeignAccount   Reason = "foreign_account"
	ReasonGroupsOverage    Reason = "groups_overage"
	ReasonStaleLogin       Reason = "stale_login"
	ReasonReplayed         Reason = "replayed"
	ReasonLoop             Reason = "login_loop"
	ReasonStoreDown        Reason = "store_unavailable"
	ReasonAuditDown        Reason = "audit_unavailable"
	ReasonSessionRotated   Reason = "session_rotated"
	ReasonHeaderTooLong    Reason = "header_too_long"
	ReasonBadPath          Reason = "bad_path"
	ReasonCrossSite        Reason = "cross_site"
	ReasonInsecure         Reason = "https_required"
	ReasonAssuranceNotMet  Reason = "assurance_not_met"
	ReasonRevoked          Reason = "revoked"
	ReasonInvalidGrant     Reason = "invalid_grant"
	ReasonTooLarge         Reason = "too_large"
	ReasonUnknownHost      Reason = "unknown_host"
	ReasonNotEnrolled      Reason = "not_enrolled"
	ReasonFallbackLogin    Reason = "fallback_login"
	ReasonWrongCode        Reason = "wrong_code"
	ReasonKeyRefused       Reason = "key_refused"
	ReasonKeyCloned        Reason = "key_cloned"
	ReasonMessageNotSent   Reason = "message_not_sent"
	ReasonVouchExpired     Reason = "vouch_expired"
	ReasonNotInDirectory   Reason = "not_in_directory"
	ReasonDirectoryDown    Reason = "directory_unavailable"
	ReasonInvalidField     Reason = "invalid_field"
	ReasonConsentDeclined  Reason = "consent_declined"
	ReasonServiceDown      Reason = "service_unavailable"
	ReasonUnsent           Reason = "message_unsent"
	ReasonStepUpRequired   Reason = "step_up_required"
	ReasonRequestChanged   Reason = "request_changed"
	ReasonUnstableBody     Reason = "once_needs_stable_body"
	ReasonNotApprovable    Reason = "not_approvable"
	ReasonUnclearFields    Reason = "unclear_fields"
	ReasonApprovalGone     Reason = "approval_gone"
	ReasonNotVouched       Reason = "not_vouched"
	ReasonTicketRefused    Reason = "ticket_refused"
	// Of programs: what they sent is malformed, is no good, or only a person gets further.
	ReasonInvalidRequest      Reason = "invalid_request"
	ReasonInvalidToken        Reason = "invalid_token"
	ReasonInteractionRequired Reason = "interaction_required"
	ReasonInternal            Reason = "internal"

	// What signals and the risk step find. Nobody is refused with one of these.
	ReasonNewDevice        Reason = "new_device"
	ReasonKnownDevice      Reason = "known_device"
	ReasonTrustedDevice    Reason = "trusted_device"
	ReasonSignalUnknown    Reason = "signal_unknown"
	ReasonSignalFailed     Reason = "signal_failed"
	ReasonNewCountry       Reason = "new_country"
	ReasonUnusualCountry   Reason = "unusual_country"
	ReasonRiskyPlace       Reason = "risky_place"
	ReasonImpossibleTravel Reason = "impossible_travel"
	ReasonRiskyNetwork     Reason = "risky_network"
	ReasonOutsideNetwork   Reason = "outside_network"
	ReasonManyFailures     Reason = "many_failures"
	ReasonUnusualTime      Reason = "unusual_time"
	ReasonBotScore         Reason = "bot_score"
	ReasonServiceScore     Reason = "service_score"
)

// Refusal is an error that is the far side's fault and ends the attempt with a
// reason. Err is for the operator's log, never for the page.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return string(r.Reason)
	}
	return string(r.Reason) + ": " + r.Err.Error()
}

func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a Refusal.
func Refuse(reason Reason, err error) error { return &Refusal{Reason: reason, Err: err} }

// ReasonOf returns the reason in err's chain, or ReasonInternal.
func ReasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ReasonInternal
}

// The sentinels that callers branch on.
var (
	// ErrCredentials: name or password wrong, unknown or locked; deliberately one error for all (B27).
	ErrCredentials = errors.New("credentials refused")
	// ErrInvalidGrant: the provider says this login is over; the session ends.
	ErrInvalidGrant = errors.New("invalid grant")
	// ErrNotFound: the store answered, and there is nothing.
	ErrNotFound = errors.New("not found")
	// ErrExists: somebody was first. For one-time marks this means a replay.
	ErrExists = errors.New("exists already")
	// ErrUnavailable: could not ask. Never to be read as "no" (I16).
	ErrUnavailable = errors.New("unavailable")
)

// CredentialsError is ErrCredentials with what a directory told us beside: for
// counters and the operator's log. It reads like any other, and no person sees
// more of it.
type CredentialsError struct {
	// Reason is why, where the directory said more than no: account_locked …
	Reason Reason
	Detail string
}

func (*CredentialsError) Error() string { return ErrCredentials.Error() }

// Is makes it one of ErrCredentials.
func (*CredentialsError) Is(target error) bool { return target == ErrCredentials }
