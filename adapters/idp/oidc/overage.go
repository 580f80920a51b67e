package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
)

// overageMax is how long the directory of groups may take, within the time of
// the whole login or renewal.
const overageMax = 10 * time.Second

// asksForGroups reports whether a directory is named; error is no name of one.
func (p *Provider) asksForGroups() bool {
	return p.GroupsOverage != "" && p.GroupsOverage != "error"
}

// Names finds the directory of groups.
func (p *Provider) Names(r flows.Registry) error {
	p.groupsOf = nil
	if !p.asksForGroups() {
		return nil
	}
	by, _ := p.overageBy()
	d, err := r.Directory(p.GroupsOverage)
	if err != nil {
		err = fmt.Errorf("%w; groups_overage takes error or the name of a directory", err)
	} else if err = flows.FindsBy(d, by); err != nil {
		err = fmt.Errorf("groups_overage %s: %w", p.GroupsOverage, err)
	}
	if err != nil && p.wrote != nil {
		return p.wrote.WrapErr(err)
	}
	p.groupsOf = d
	return err
}

// overageBy is what the directory finds people by, and the claim that says who it is.
func (p *Provider) overageBy() (attribute, claim string) {
	switch {
	case p.GroupsOverageBy != "":
		return p.GroupsOverageBy, p.GroupsOverageClaim
	case p.as.object != "":
		return p.as.object, p.as.object
	}
	return "sub", "sub"
}

// Reaches is the directory of groups: another meaning of it restarts runs (I28).
func (p *Provider) Reaches() []string {
	if !p.asksForGroups() {
		return nil
	}
	return []string{"directory:" + p.GroupsOverage}
}

// overage notices that the provider left the groups out because there are too
// many (B24): a partial or empty list would be taken for the truth. It answers
// the claim that they were to stand in.
func (p *Provider) overage(claims map[string]any) (claim string, left bool) {
	used, _, _ := strings.Cut(p.source("groups").Path, ".")
	names, _ := claims["_claim_names"].(map[string]any)
	_, distributed := names[used]
	has := claims["hasgroups"] == true || claims["hasgroups"] == "true"
	return used, distributed || has && used == "groups"
}

// withGroups is user, with the groups of the directory where the provider left
// them out. What it did send of them is a part, and nobody gets to see it.
func (p *Provider) withGroups(ctx context.Context, subject string, id *idToken, claims map[string]any) (flows.User, error) {
	claim, left := p.overage(claims)
	if !left {
		return p.user(subject, claims)
	}
	groups, err := p.allGroups(ctx, id)
	if err != nil {
		return flows.User{}, err
	}
	claims = maps.Clone(claims)
	delete(claims, claim)
	delete(claims, p.source("groups").Path) // a claim may have dots in its name
	u, err := p.user(subject, claims)
	u.Groups = groups
	return u, err
}

// allGroups asks the directory for the person whom the signed ID token names: by
// sub, what a preset has in its place, or the claim that was written. The answer is all of the groups, or none
// is believed.
func (p *Provider) allGroups(ctx context.Context, id *idToken) ([]string, error) {
	if p.groupsOf == nil {
		return nil, tooMany(errors.New("the provider left out the groups because there are too many; limit them at the provider, map another claim, or name a directory that knows them"))
	}
	by, claim := p.overageBy()
	value, _ := id.claims[claim].(string)
	if value == "" {
		return nil, tooMany(fmt.Errorf("the ID token has no %s to ask directory %s by", claim, p.GroupsOverage))
	}
	ctx, cancel := context.WithTimeout(ctx, overageMax)
	defer cancel()
	found, err := p.groupsOf.Find(ctx, by, value)
	switch {
	case errors.Is(err, flows.ErrNotFound), errors.Is(err, flows.ErrAmbiguous):
		return nil, tooMany(fmt.Errorf("directory %s: %s: %w", p.GroupsOverage, by, err))
	case err != nil:
		return nil, flows.Refuse(flows.ReasonDirectoryDown, fmt.Errorf("directory %s: %w", p.GroupsOverage, err))
	}
	groups, err := wholeList(found)
	if err != nil {
		return nil, tooMany(fmt.Errorf("directory %s: groups: %w", p.GroupsOverage, err))
	}
	return groups, nil
}

// wholeList are the groups of an entry. Who is in too many is in some, so an empty
// list is as wrong as none; one text may be several, joined in a way that is not known.
func wholeList(found flows.Attributes) ([]string, error) {
	list, ok := found["groups"].([]any)
	switch {
	case !ok:
		return nil, fmt.Errorf("is a %T, not a list", found["groups"])
	case len(list) == 0:
		return nil, errors.New("the list is empty")
	case found["groups@odata.nextLink"] != nil: // OData JSON 4.01 §4.6.11
		return nil, errors.New("the list goes on elsewhere")
	}
	return jwt.Texts(list)
}

func tooMany(err error) error { return flows.Refuse(flows.ReasonGroupsOverage, err) }
