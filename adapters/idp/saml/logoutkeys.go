package saml

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

const unspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

// nameID is a person's name at the provider (SAML Core §2.2.3).
type nameID struct {
	Value           string `json:"value"`
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"name_qualifier,omitempty"`
	SPNameQualifier string `json:"sp_name_qualifier,omitempty"`
}

// grant is what Finish keeps as Proof.Tokens, as JSON, for the LogoutRequest
// that we send when the session ends.
type grant struct {
	NameID nameID `json:"name_id"`
	// Sessions are the SessionIndexes of its AuthnStatements.
	Sessions []string `json:"sessions,omitempty"`
	// Entity is our name that the assertion was for.
	Entity string `json:"entity"`
}

// proofKeys are the LogoutKeys of a login: its NameID, and its NameID with each
// SessionIndex. idp and sp are the entities between which the name was given.
func proofKeys(n nameID, sessions []string, idp, sp string) []string {
	return append([]string{logoutKey(n, idp, sp)}, sessionKeys(n, sessions, idp, sp)...)
}

// claimKeys are the LogoutKeys a LogoutRequest names: of these sessions, or of
// all when it lists none (SAML Core §3.7.1).
func claimKeys(n nameID, sessions []string, idp, sp string) []string {
	if len(sessions) == 0 {
		return []string{logoutKey(n, idp, sp)}
	}
	return sessionKeys(n, sessions, idp, sp)
}

func sessionKeys(n nameID, sessions []string, idp, sp string) []string {
	keys := make([]string, len(sessions))
	for i, index := range sessions {
		keys[i] = logoutKey(n, idp, sp, index)
	}
	return keys
}

// logoutKey is one name for a NameID however it is spelt: qualifiers that are
// left out mean the two entities (SAML Core §8.3.7), a format left out means
// unspecified (§8.3.1).
func logoutKey(n nameID, idp, sp string, session ...string) string {
	if n.Format == "" {
		n.Format = unspecified
	}
	if n.NameQualifier == "" {
		n.NameQualifier = idp
	}
	if n.SPNameQualifier == "" {
		n.SPNameQualifier = sp
	}
	parts := append([]string{n.Value, n.Format, n.NameQualifier, n.SPNameQualifier}, session...)
	b, _ := json.Marshal(parts) // strings always marshal; the list leaves no doubt where one ends
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
