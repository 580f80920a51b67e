package samltest

import (
	"strings"
	"time"
)

// facts are assertions that are not for us, not now, or not about a login (S7).
func facts() []Case {
	const s = "S7"
	before := func(name, why string, f func(string) string) Case {
		return spoilt(s, name, why, func(_ *Bench, r *Response) { r.Assertion.Before = f })
	}
	cut := func(from, to string) func(string) string {
		return func(x string) string { return strings.Replace(x, between(x, from, to), "", 1) }
	}
	restriction := func(audiences ...string) string {
		x := "<saml:AudienceRestriction>"
		for _, a := range audiences {
			x += "<saml:Audience>" + a + "</saml:Audience>"
		}
		return x + "</saml:AudienceRestriction>"
	}
	return []Case{
		spoilt(s, "wrong-audience", "the assertion is for audience", func(_ *Bench, r *Response) { r.Assertion.Audience = "https://other.example" }),
		spoilt(s, "audience-prefix", "the assertion is for audience", func(_ *Bench, r *Response) { r.Assertion.Audience += "x" }),
		spoilt(s, "audience-blank-behind", "the assertion is for audience", func(_ *Bench, r *Response) { r.Assertion.Audience += " " }),
		before("no-audience", "assertion without AudienceRestriction", cut("<saml:AudienceRestriction>", "</saml:AudienceRestriction>")),
		before("empty-audience-restriction", "the assertion is for audience", cut("<saml:Audience>", "</saml:Audience>")),
		before("two-audience-restrictions", "the assertion is for audience", Swap("</saml:AudienceRestriction>", "</saml:AudienceRestriction>"+restriction("https://other.example"))),
		before("two-audience-restrictions-other-first", "the assertion is for audience", Swap("<saml:AudienceRestriction>", restriction("https://other.example")+"<saml:AudienceRestriction>")),
		before("element-in-audience", "Audience holds more than text", Swap("<saml:Audience>", "<saml:Audience><x></x>")),
		before("no-conditions", "assertion without Conditions", cut("<saml:Conditions", "</saml:Conditions>")),
		before("two-conditions", "Conditions is unknown in Assertion, or one too many", func(x string) string {
			c := between(x, "<saml:Conditions", "</saml:Conditions>")
			return strings.Replace(x, c, c+c, 1)
		}),
		before("unknown-condition", "Condition is unknown in Conditions", Swap("</saml:Conditions>", "<saml:Condition></saml:Condition></saml:Conditions>")),
		before("no-subject", "assertion without Subject", cut("<saml:Subject>", "</saml:Subject>")),
		before("no-subject-confirmation", "no bearer SubjectConfirmation", cut("<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>")),
		before("holder-of-key", "no bearer SubjectConfirmation", Swap("cm:bearer", "cm:holder-of-key")),
		before("sender-vouches", "no bearer SubjectConfirmation", Swap("cm:bearer", "cm:sender-vouches")),
		before("bearer-without-data", "a bearer without SubjectConfirmationData", cut("<saml:SubjectConfirmationData", "</saml:SubjectConfirmationData>")),
		before("encrypted-id", "a subject that is no NameID", Swap("<saml:SubjectConfirmation ", "<saml:EncryptedID></saml:EncryptedID><saml:SubjectConfirmation ")),
		spoilt(s, "wrong-recipient", "the assertion is for recipient", func(_ *Bench, r *Response) { r.Assertion.Recipient = "https://other.example/acs" }),
		spoilt(s, "recipient-prefix", "the assertion is for recipient", func(_ *Bench, r *Response) { r.Assertion.Recipient += "/" }),
		spoilt(s, "no-recipient", "the assertion is for recipient", func(_ *Bench, r *Response) { r.Assertion.Recipient = "" }),
		spoilt(s, "wrong-destination", "the Response is for", func(_ *Bench, r *Response) { r.Destination = "https://other.example/acs" }),
		spoilt(s, "wrong-destination-signed", "the Response is for", func(b *Bench, r *Response) {
			r.Destination, r.Sign = "https://other.example/acs", b.IDP.Signing()
		}),
		spoilt(s, "no-destination-signed", "a signed Response without Destination", func(b *Bench, r *Response) {
			r.Destination, r.Sign = "", b.IDP.Signing()
		}),
		spoilt(s, "wrong-issuer", "Assertion of \"https://other.example\"", func(_ *Bench, r *Response) { r.Assertion.Issuer = "https://other.example" }),
		spoilt(s, "wrong-response-issuer", "Response of \"https://other.example\"", func(_ *Bench, r *Response) { r.Issuer = "https://other.example" }),
		spoilt(s, "issuer-trailing-slash", "Assertion of", func(_ *Bench, r *Response) { r.Assertion.Issuer += "/" }),
		before("two-issuers", "Issuer is unknown in Assertion, or one too many", Swap("<saml:Subject>", "<saml:Issuer>x</saml:Issuer><saml:Subject>")),
		before("issuer-of-a-person", "has an Issuer of format", Swap("<saml:Issuer>", `<saml:Issuer Format="`+Email+`">`)),
		spoilt(s, "wrong-inresponseto", "is to request", func(_ *Bench, r *Response) {
			r.InResponseTo, r.Assertion.InResponseTo = "_other", "_other"
		}),
		spoilt(s, "wrong-inresponseto-in-response", "the assertion answers request", func(_ *Bench, r *Response) { r.InResponseTo = "_other" }),
		spoilt(s, "wrong-inresponseto-in-assertion", "the assertion answers request", func(_ *Bench, r *Response) { r.Assertion.InResponseTo = "_other" }),
		spoilt(s, "missing-inresponseto-in-response", "the assertion answers request", func(_ *Bench, r *Response) { r.InResponseTo = "" }),
		spoilt(s, "missing-inresponseto-in-assertion", "the assertion answers request", func(_ *Bench, r *Response) { r.Assertion.InResponseTo = "" }),
		spoilt(s, "version-1.1", "Assertion of version \"1.1\"", func(_ *Bench, r *Response) { r.Assertion.Version = "1.1" }),
		spoilt(s, "response-version-1.1", "Response of version \"1.1\"", func(_ *Bench, r *Response) { r.Version = "1.1" }),
		before("no-authnstatement", "assertion without AuthnStatement", cut("<saml:AuthnStatement", "</saml:AuthnStatement>")),
		before("authnstatement-without-instant", "AuthnStatement without AuthnInstant", func(x string) string {
			return strings.Replace(x, between(x, ` AuthnInstant="`, `Z"`), "", 1)
		}),
		before("encrypted-attribute", "EncryptedAttribute in an AttributeStatement", Swap("<saml:AttributeStatement>", "<saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute>")),
		before("attribute-without-name", "an Attribute without Name", Swap(`<saml:Attribute Name="groups"`, `<saml:Attribute`)),
		before("unknown-statement", "Statement is unknown in Assertion", Swap("<saml:AttributeStatement>", "<saml:Statement></saml:Statement><saml:AttributeStatement>")),
		before("no-time", "cannot parse", Swap(`NotBefore="`, `NotBefore="x`)),
		spoilt(s, "no-assertion-id", "an ID that is no name", func(_ *Bench, r *Response) { r.Assertion.ID = "" }),
		before("no-nameid", "the provider sent no NameID", cut("<saml:NameID", "</saml:NameID>")),
		spoilt(s, "foreign-qualifier", "the NameID is qualified by", func(_ *Bench, r *Response) { r.Assertion.NameQualifier = "https://other.example" }),
		spoilt(s, "group-overage", "group overage", func(_ *Bench, r *Response) {
			r.Assertion.Attributes = []Attribute{{Name: "http://schemas.microsoft.com/claims/groups.link", Values: []string{"https://graph.example"}}}
		}),
		spoilt(s, "element-in-groups", "holds more than text", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap(">payroll<", "><x></x><")
		}),
	}
}

// times are answers too early and too late; three minutes of skew are allowed.
func times() []Case {
	const s = "S7"
	shift := func(r *Response, by time.Duration) {
		a := r.Assertion
		for _, t := range []*time.Time{&r.IssueInstant, &a.IssueInstant, &a.NotBefore, &a.NotAfter, &a.ConfirmUntil, &a.AuthnInstant} {
			*t = t.Add(by)
		}
	}
	return []Case{
		spoilt(s, "idp-clock-10-min-ahead", "ahead of our clock", func(_ *Bench, r *Response) { shift(r, minutes(10)) }),
		spoilt(s, "idp-clock-10-min-behind", "was issued 10m0s ago", func(_ *Bench, r *Response) { shift(r, -minutes(10)) }),
		spoilt(s, "future-issueinstant", "Assertion was issued 2h0m0s ahead of our clock", func(_ *Bench, r *Response) {
			r.Assertion.IssueInstant = r.Assertion.IssueInstant.Add(2 * time.Hour)
		}),
		spoilt(s, "future-response-issueinstant", "Response was issued 2h0m0s ahead of our clock", func(_ *Bench, r *Response) { r.IssueInstant = r.IssueInstant.Add(2 * time.Hour) }),
		spoilt(s, "old-assertion", "Assertion was issued 5m0s ago", func(_ *Bench, r *Response) {
			r.Assertion.IssueInstant = r.Assertion.IssueInstant.Add(-minutes(5))
		}),
		spoilt(s, "old-response", "Response was issued 5m0s ago", func(_ *Bench, r *Response) { r.IssueInstant = r.IssueInstant.Add(-minutes(5)) }),
		spoilt(s, "no-issueinstant", "Assertion without IssueInstant", func(_ *Bench, r *Response) {
			r.Assertion.Before = func(x string) string { return strings.Replace(x, between(x, ` IssueInstant="`, `Z"`), "", 1) }
		}),
		spoilt(s, "expired-conditions", "the assertion expired", func(_ *Bench, r *Response) { r.Assertion.NotAfter = r.IssueInstant.Add(-minutes(4)) }),
		spoilt(s, "expired-subject-only", "the SubjectConfirmation expired", func(_ *Bench, r *Response) { r.Assertion.ConfirmUntil = r.IssueInstant.Add(-minutes(4)) }), // CVE-2026-1190
		spoilt(s, "no-subject-expiry", "a bearer without NotOnOrAfter", func(_ *Bench, r *Response) { r.Assertion.ConfirmUntil = time.Time{} }),
		spoilt(s, "not-yet-valid", "the assertion is not valid yet", func(_ *Bench, r *Response) { r.Assertion.NotBefore = r.IssueInstant.Add(minutes(4)) }),
		spoilt(s, "subject-not-yet-valid", "the SubjectConfirmation is not valid yet", func(_ *Bench, r *Response) {
			r.Assertion.Before = Swap("<saml:SubjectConfirmationData", `<saml:SubjectConfirmationData NotBefore="`+stamp(r.IssueInstant.Add(minutes(4)))+`"`)
		}),
		spoilt(s, "future-authninstant", "AuthnInstant lies ahead", func(_ *Bench, r *Response) { r.Assertion.AuthnInstant = r.IssueInstant.Add(minutes(4)) }),
		spoilt(s, "session-ended", "the session at the provider has ended", func(_ *Bench, r *Response) { r.Assertion.SessionUntil = r.IssueInstant.Add(-minutes(4)) }),
		taken(s, "idp-clock-150-s-ahead", func(_ *Bench, r *Response) { shift(r, 150*time.Second) }),
		taken(s, "idp-clock-150-s-behind", func(_ *Bench, r *Response) { shift(r, -150*time.Second) }),
		taken(s, "expired-within-skew", func(_ *Bench, r *Response) {
			r.Assertion.NotAfter, r.Assertion.ConfirmUntil = r.IssueInstant.Add(-minutes(2)), r.IssueInstant.Add(-minutes(2))
		}),
		taken(s, "no-time-in-conditions", func(_ *Bench, r *Response) {
			r.Assertion.NotAfter, r.Assertion.NotBefore = time.Time{}, time.Time{}
		}),
	}
}

// statuses are the provider's no (S7).
func statuses() []Case {
	const s, prefix = "S7", "urn:oasis:names:tc:SAML:2.0:status:"
	no := func(name, reason, status, sub string) Case {
		c := spoilt(s, name, "provider answered", func(_ *Bench, r *Response) {
			r.Status, r.SubStatus, r.Message, r.Assertion = prefix+status, sub, "not today", nil
		})
		c.Reason = reason
		return c
	}
	with := no("bad-status-with-assertion", "provider_refused", "Responder", "")
	with.Make = spoilt(s, "", "", func(_ *Bench, r *Response) { r.Status = prefix + "Responder" }).Make
	return []Case{
		no("bad-status-requester", "provider_refused", "Requester", ""),
		no("bad-status-authnfailed", "provider_refused", "Responder", prefix+"AuthnFailed"),
		no("bad-status-denied", "provider_refused", "Responder", prefix+"RequestDenied"),
		no("bad-status-no-authn-context", "assurance_not_met", "Responder", prefix+"NoAuthnContext"),
		no("bad-status-success-below", "provider_refused", "Responder", Success),
		no("bad-status-unknown", "provider_refused", "Whatever", ""),
		with,
		spoilt(s, "no-status", "0 Status in Response", func(_ *Bench, r *Response) {
			r.Before = func(x string) string {
				return strings.Replace(x, between(x, "<samlp:Status>", "</samlp:Status>"), "", 1)
			}
		}),
		spoilt(s, "two-statuses", "2 Status in Response", func(_ *Bench, r *Response) {
			r.Before = Swap("<samlp:Status>", `<samlp:Status><samlp:StatusCode Value="`+prefix+`Responder"></samlp:StatusCode></samlp:Status><samlp:Status>`)
		}),
		spoilt(s, "two-status-codes", "2 StatusCode in Status", func(_ *Bench, r *Response) {
			r.Before = Swap("<samlp:Status>", `<samlp:Status><samlp:StatusCode Value="`+prefix+`Responder"></samlp:StatusCode>`)
		}),
		spoilt(s, "success-without-assertion", "a success without assertion", func(_ *Bench, r *Response) { r.Assertion = nil }),
		spoilt(s, "bad-status-of-another", "Response of", func(_ *Bench, r *Response) {
			r.Status, r.Assertion, r.Issuer = prefix+"Responder", nil, "https://other.example"
		}),
	}
}

// initiated are logins that the provider began (S8); a provider that may not.
func initiated() []Case {
	const s, why = "S8", "the provider began this login by itself"
	return []Case{
		spoilt(s, "login-csrf", why, func(_ *Bench, r *Response) { r.InResponseTo, r.Assertion.InResponseTo = "", "" }),
		spoilt(s, "login-csrf-empty-inresponseto", why, func(_ *Bench, r *Response) {
			r.InResponseTo, r.Assertion.InResponseTo = "", ""
			r.Before = Swap(` Destination=`, ` InResponseTo="" Destination=`)
		}),
		spoilt(s, "login-csrf-signed-response", why, func(b *Bench, r *Response) {
			r.InResponseTo, r.Assertion.InResponseTo, r.Sign = "", "", b.IDP.Signing()
		}),
	}
}

// mixups are another provider's answers (S9).
func mixups() []Case {
	const s = "S9"
	other := func(b *Bench) *IDP {
		return &IDP{EntityID: "https://other.example/metadata", Pair: RSA(7), Now: b.IDP.Now, Person: b.IDP.Person}
	}
	return []Case{
		text(s, "other-idp-answers", "Response of", func(b *Bench) string { return other(b).Respond(b.Request).XML() }),
		text(s, "other-idp-under-this-name", "the signature is not that of the provider's metadata", func(b *Bench) string {
			o := other(b)
			o.EntityID = b.IDP.EntityID
			return o.Respond(b.Request).XML()
		}),
		text(s, "other-idp-with-this-key", "Response of", func(b *Bench) string {
			o := other(b)
			o.Pair = b.IDP.Pair
			return o.Respond(b.Request).XML()
		}),
		text(s, "other-idp-in-our-envelope", "the signature is not that of the provider's metadata", func(b *Bench) string {
			r := other(b).Respond(b.Request)
			r.Issuer = b.IDP.EntityID
			return r.XML()
		}),
		text(s, "our-idp-signs-for-another", "Assertion of", func(b *Bench) string {
			r := b.Good()
			r.Assertion.Issuer = "https://other.example/metadata"
			r.Sign = b.IDP.Signing()
			return r.XML()
		}),
	}
}
