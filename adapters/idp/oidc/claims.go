package oidc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

// usual is where the reserved attributes come from unless `claim` says otherwise.
var usual = map[string]Claim{
	"name":         {Path: "preferred_username"},
	"display_name": {Path: "name"},
	"email":        {Path: "email"},
	"groups":       {Path: "groups", List: true},
}

// checkClaim refuses a mapping that could change who somebody is.
func checkClaim(attr string, c Claim) error {
	if c.Path == "" {
		return fmt.Errorf("claim %s: the claim's name is missing", attr)
	}
	if _, ok := usual[attr]; ok {
		return nil
	}
	if attr == "" || slices.Contains(flows.ReservedAttributes, attr) {
		return fmt.Errorf("claim %q: this attribute cannot be mapped; of the reserved ones can: name, display_name, email, groups", attr)
	}
	return nil
}

func (p *Provider) source(attr string) Claim {
	if c, ok := p.Claims[attr]; ok {
		return c
	}
	if c, ok := p.as.claims[attr]; ok {
		return c
	}
	return usual[attr]
}

// user makes the person from verified claims. A missing name stays empty: the
// engine refuses it, and no other attribute takes its place.
func (p *Provider) user(subject string, claims map[string]any) (flows.User, error) {
	u := flows.User{Subject: subject, Claims: claims, Attributes: map[string]any{}}
	u.Name, _ = jwt.At(claims, p.source("name").Path).(string)
	u.DisplayName, _ = jwt.At(claims, p.source("display_name").Path).(string)
	u.Email = p.email(claims)
	groups, err := jwt.Texts(jwt.At(claims, p.source("groups").Path))
	if err != nil {
		return flows.User{}, invalidf("groups: %w", err)
	}
	u.Groups = groups
	for name, v := range claims {
		if !jwt.Protocol(name) && !slices.Contains(flows.ReservedAttributes, name) {
			u.Attributes[name] = v
		}
	}
	for attr, c := range p.Claims {
		if _, ok := usual[attr]; ok {
			continue
		}
		delete(u.Attributes, attr) // mapped means from there or not at all
		if v := jwt.At(claims, c.Path); v != nil {
			if _, isList := v.([]any); c.List && !isList {
				v = []any{v}
			}
			u.Attributes[attr] = v
		}
	}
	return u, nil
}

// standard are the claims of a person that OIDC Core §5.1 names.
var standard = []string{
	"given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "email_verified",
	"gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at",
}

// Attributes are those that `claim` fills, and the standard's.
func (p *Provider) Attributes() []string {
	return slices.AppendSeq(slices.Clone(standard), maps.Keys(p.Claims))
}

// email is filled only where somebody vouches for it (I06): email_verified
// speaks of the claim email and of no other. Two @ read differently to
// different eyes, so such an address is nobody's.
func (p *Provider) email(claims map[string]any) string {
	path := p.source("email").Path
	mail, _ := jwt.At(claims, path).(string)
	vouched := emailVerified
	if p.as.vouched != nil {
		vouched = p.as.vouched
	}
	if !(path == "email" && vouched(claims)) && !p.Trusts("email") {
		return ""
	}
	local, domain, ok := strings.Cut(mail, "@")
	if !ok || local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsFunc(mail, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return ""
	}
	return mail
}

func emailVerified(claims map[string]any) bool {
	return claims["email_verified"] == true || claims["email_verified"] == "true"
}

// methods are the provider's amr in the words of amr_map.
func (p *Provider) methods(v any) []string {
	list, err := jwt.Texts(v)
	if err != nil {
		return nil
	}
	var out []string
	for _, m := range list {
		to, ok := p.AMRMap[m]
		if !ok {
			to, ok = p.as.amr[m]
		}
		if !ok {
			to = []string{m}
		}
		for _, t := range to {
			if !contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}
