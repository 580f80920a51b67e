package ldapconn

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Verdict is what a server says to a name and a password.
type Verdict struct {
	// OK: the password is right and the account may be used.
	OK bool
	// Proved: the password is right, but the account may not be used; Reason says why.
	Proved bool
	// Reason is why it was refused, as far as the server says; empty: wrong.
	Reason flows.Reason
	// Detail is for the operator.
	Detail string
}

// accountStates are the codes that Active Directory hides in its words, and
// whether it says them only to who knew the password. 775 it says to anybody.
var accountStates = map[uint64]struct {
	reason flows.Reason
	proved bool
	text   string
}{
	0x525: {"", false, "no such user"},
	0x52e: {"", false, "wrong password"},
	0x530: {flows.ReasonNotAllowed, true, "not permitted to log on at this time"},
	0x531: {flows.ReasonNotAllowed, true, "not permitted to log on from here"},
	0x532: {flows.ReasonPasswordExpired, true, "password expired"},
	0x533: {flows.ReasonAccountDisabled, true, "account disabled"},
	0x568: {flows.ReasonNotAllowed, true, "member of too many groups for Active Directory"},
	0x701: {flows.ReasonAccountExpired, true, "account expired"},
	0x773: {flows.ReasonPasswordExpired, true, "password must be changed first"},
	0x775: {flows.ReasonAccountLocked, false, "account locked"},
}

// judge reads the answer to a bind. Only success without a condition is a yes;
// everything it does not know is a no.
func judge(code uint16, text string, controls []ldap.Control) Verdict {
	policy, _ := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	change := ldap.FindControl(controls, ldap.ControlTypeVChuPasswordMustChange) != nil
	switch code {
	case ldap.LDAPResultSuccess:
		if change || policy != nil && policy.Error == 2 { // changeAfterReset: nothing else is allowed (draft-behera-ldap-password-policy-10 §8.1.1)
			return Verdict{Proved: true, Reason: flows.ReasonPasswordExpired, Detail: "password must be changed first"}
		}
		return Verdict{OK: true}
	case ldap.LDAPResultInvalidCredentials:
		return refused(text, policy)
	case ldap.LDAPResultConstraintViolation: // 389 DS: tried too often
		return Verdict{Reason: flows.ReasonAccountLocked, Detail: said(code, text)}
	case ldap.LDAPResultUnwillingToPerform:
		if strings.Contains(strings.ToLower(text), "inactivated") { // 389 DS says it to anybody
			return Verdict{Reason: flows.ReasonAccountDisabled, Detail: said(code, text)}
		}
	}
	return Verdict{Detail: said(code, text)}
}

// refused reads invalidCredentials: the policy control first, then Active Directory's words.
func refused(text string, policy *ldap.ControlBeheraPasswordPolicy) Verdict {
	if policy != nil {
		switch policy.Error {
		case 0: // passwordExpired: said after the password was compared
			return Verdict{Proved: true, Reason: flows.ReasonPasswordExpired, Detail: "password expired"}
		case 1: // accountLocked: said to anybody
			return Verdict{Reason: flows.ReasonAccountLocked, Detail: "account locked"}
		}
	}
	if data, ok := adCode(text); ok {
		if s, known := accountStates[data]; known {
			return Verdict{Proved: s.proved, Reason: s.reason, Detail: fmt.Sprintf("%s (data %x)", s.text, data)}
		}
	}
	return Verdict{Detail: said(ldap.LDAPResultInvalidCredentials, text)}
}

// adCode finds the code in words such as "80090308: LdapErr: DSID-0C09041C,
// comment: AcceptSecurityContext error, data 52e, v4563".
func adCode(text string) (uint64, bool) {
	if !strings.Contains(text, "LdapErr:") {
		return 0, false
	}
	_, rest, ok := strings.Cut(text, ", data ")
	if !ok {
		return 0, false
	}
	digits, _, _ := strings.Cut(rest, ",")
	code, err := strconv.ParseUint(strings.Trim(digits, " \x00"), 16, 32)
	return code, err == nil
}

func said(code uint16, text string) string {
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return fmt.Sprintf("the server says %d %s: %q", code, ldap.LDAPResultCodeMap[code], text)
}
