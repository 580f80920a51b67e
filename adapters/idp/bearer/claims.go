package bearer

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

// clockSkew is how far the issuer's clock may be from ours.
const clockSkew = time.Minute

// usual is where the reserved attributes come from unless `claim` says otherwise.
var usual = map[string]Claim{
	"name":         {Path: "preferred_username"},
	"display_name": {Path: "name"},
	"email":        {Path: "email"},
	"groups":       {Path: "groups", List: true},
}

// checkClaim refuses a mapping that could change who somebody is.
func checkClaim(attribute string, c Claim) error {
	if c.Path == "" {
		return fmt.Errorf("claim %s: the claim's name is missing", attribute)
	}
	if _, ok := usual[attribute]; !ok && (attribute == "" || slices.Contains(flows.ReservedAttributes, attribute)) {
		return fmt.Errorf("claim %q: this attribute cannot be mapped; of the reserved ones can: name, display_name, email, groups", attribute)
	}
	return nil
}

// current checks for whom and when a token is good.
func (p *Provider) current(c map[string]any) error {
	now := p.now()
	for name, wrong := range map[string]func(time.Time) bool{
		"exp": func(t time.Time) bool { return now.After(t.Add(clockSkew)) },
		"nbf": func(t time.Time) bool { return t.After(now.Add(clockSkew)) },
		"iat": func(t time.Time) bool { return t.After(now.Add(clockSkew)) },
	} {
		v, there := c[name]
		if !there {
			continue
		}
		if t, ok := jwt.Instant(v); !ok || wrong(t) {
			return refusedf("expired, not valid yet, or not clear about it: %s", name)
		}
	}
	if len(p.Audience) == 0 {
		return nil
	}
	aud, err := jwt.Texts(c["aud"])
	if err != nil || !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(p.Audience, a) }) {
		return refusedf("made for %s; taken are: %s", outbound.Clip(fmt.Sprint(c["aud"]), 200), strings.Join(p.Audience, ", "))
	}
	return nil
}

// bound refuses a token that is bound to a key which the request does not show: stolen,
// it would be good for nothing (RFC 8705 §3; RFC 9449 §7.1 for other keys than a
// certificate's, which cannot be shown here).
func bound(c map[string]any, r *flows.Request) error {
	v, there := c["cnf"]
	if !there {
		return nil
	}
	cnf, _ := v.(map[string]any)
	want, ok := cnf["x5t#S256"].(string)
	if !ok || len(cnf) != 1 {
		return refusedf("bound to a key that cannot be shown here")
	}
	if r.Certificate == nil {
		return refusedf("bound to a client certificate, and none was verified")
	}
	sum := sha256.Sum256(r.Certificate.Raw)
	if base64.RawURLEncoding.EncodeToString(sum[:]) != want {
		return refusedf("bound to another client certificate")
	}
	return nil
}

// proof makes somebody of verified claims. A missing name stays empty: the engine
// refuses it, and no other attribute takes its place.
func (p *Provider) proof(c map[string]any) (flows.Proof, error) {
	subject := "sub"
	if p.Subject != "" {
		subject = p.Subject
	}
	u := flows.User{Claims: c, Attributes: map[string]any{}}
	u.Subject, _ = jwt.At(c, subject).(string)
	if u.Subject == "" || len(u.Subject) > 255 || strings.ContainsRune(u.Subject, utf8.RuneError) {
		return flows.Proof{}, refusedf("%s is missing, no text or longer than 255 bytes; `subject` names another claim", subject)
	}
	if err := p.fill(&u, c); err != nil {
		return flows.Proof{}, err
	}
	iss := p.issuer
	if iss == "" {
		iss = p.introspectURL()
	}
	e := flows.Evidence{Method: "bearer", At: p.now()}
	e.AMR, _ = jwt.Texts(c["amr"])
	e.ACR, _ = c["acr"].(string)
	proof := flows.Proof{User: u, Issuer: iss}
	if t, ok := jwt.Instant(c["exp"]); ok {
		proof.NotAfter = t.Add(clockSkew)
	}
	if t, ok := jwt.Instant(c["iat"]); ok {
		proof.Issued, e.At = t, t
	}
	if t, ok := jwt.Instant(c["auth_time"]); ok && !t.After(p.now().Add(clockSkew)) {
		e.At = t
	}
	proof.Evidence = []flows.Evidence{e}
	return proof, nil
}

func (p *Provider) fill(u *flows.User, c map[string]any) error {
	source := func(attribute string) string {
		if m, ok := p.Claims[attribute]; ok {
			return m.Path
		}
		return usual[attribute].Path
	}
	u.Name, _ = jwt.At(c, source("name")).(string)
	u.DisplayName, _ = jwt.At(c, source("display_name")).(string)
	u.Email = p.email(c, source("email"))
	var err error
	if u.Groups, err = jwt.Texts(jwt.At(c, source("groups"))); err != nil {
		return refusedf("groups: %w", err)
	}
	// Groups that the issuer left out make a list that looks whole (B24).
	if names, _ := c["_claim_names"].(map[string]any); names["groups"] != nil || c["hasgroups"] == true || c["hasgroups"] == "true" {
		return flows.Refuse(flows.ReasonGroupsOverage, fmt.Errorf("the token of %s has too many groups to name them", u.Subject))
	}
	for name, v := range c {
		if !jwt.Protocol(name) && !slices.Contains(flows.ReservedAttributes, name) && name != "active" && name != "cnf" {
			u.Attributes[name] = v
		}
	}
	if scopes := scopesOf(c); scopes != nil {
		u.Attributes["scopes"] = scopes
	}
	for attribute, m := range p.Claims {
		if _, ok := usual[attribute]; ok {
			continue
		}
		delete(u.Attributes, attribute) // mapped means from there or not at all
		if v := jwt.At(c, m.Path); v != nil {
			if _, isList := v.([]any); m.List && !isList {
				v = []any{v}
			}
			u.Attributes[attribute] = v
		}
	}
	return nil
}

// scopesOf makes a list of what a token is good for: scope is a text with blanks (RFC
// 8693 §4.2), some issuers write scp.
func scopesOf(c map[string]any) []any {
	var out []any
	for _, claim := range []string{"scope", "scp"} {
		list, _ := jwt.Texts(c[claim])
		for _, s := range list {
			for _, one := range strings.Fields(s) {
				out = append(out, one)
			}
		}
	}
	return out
}

// email is filled only where somebody vouches for it (I06).
func (p *Provider) email(c map[string]any, path string) string {
	mail, _ := jwt.At(c, path).(string)
	verified := path == "email" && (c["email_verified"] == true || c["email_verified"] == "true")
	if _, ok := flows.DomainOf(mail); !ok || !verified && !p.Trusts("email") {
		return ""
	}
	return mail
}
