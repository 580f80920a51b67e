package oidc

import (
	"context"

	"github.com/sallyport-gateway/sallyport/flows"
)

// vendor is what a preset knows of one maker's providers beyond the protocol.
// What is empty changes nothing.
type vendor struct {
	// issuer, scopes, claims, amr and userinfo stand where the operator wrote none.
	issuer   string
	scopes   []string
	claims   map[string]Claim
	amr      map[string][]string
	userinfo bool

	// announced judges the issuer that the discovery document names, and key tells
	// presets apart that judge in different ways.
	announced func(configured, named string) error
	key       string
	// issues judges the issuer of an answer or token, where there are several.
	issues func(announced, iss string) bool
	// bindsTo is the issuer that the provider's name is bound to (I05).
	bindsTo func(announced string) string
	// admits refuses people of others: the tenant check.
	admits func(claims map[string]any) error
	// subject is who it is, if not sub.
	subject func(claims map[string]any) (string, error)
	// object is the claim that directories know people by, if not sub.
	object string
	// vouched reports whether the claim email can be believed.
	vouched func(claims map[string]any) bool
	// acr is which of the wanted contexts was reached.
	acr func(claims map[string]any, wanted []string) string
	// asks changes the parameters of the authorization request.
	asks func(w map[string]string, acr []string)
	// frameless: front-channel logouts come with a sid alone.
	frameless bool
}

// issues reports whether iss is who the provider says it is.
func (p *Provider) issues(m *metadata, iss string) bool {
	if p.as.issues != nil {
		return p.as.issues(m.Issuer, iss)
	}
	return iss == m.Issuer
}

func (p *Provider) bindsTo(m *metadata) string {
	if p.as.bindsTo != nil {
		return p.as.bindsTo(m.Issuer)
	}
	return m.Issuer
}

// admit looks at what the ID token says, never at UserInfo, which is not signed.
func (p *Provider) admit(id *idToken) error {
	if p.as.admits == nil {
		return nil
	}
	if err := p.as.admits(id.claims); err != nil {
		return flows.Refuse(flows.ReasonForeignAccount, err)
	}
	return nil
}

// person is who the ID token speaks of, with all claims.
func (p *Provider) person(ctx context.Context, id *idToken, claims map[string]any) (flows.User, error) {
	subject := id.subject
	if p.as.subject != nil {
		var err error
		if subject, err = p.as.subject(id.claims); err != nil {
			return flows.User{}, invalid(err)
		}
	}
	return p.withGroups(ctx, subject, id, claims)
}
