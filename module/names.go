package module

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// names are whose the names are that applications see. The first to come in with
// one owns it: an application knows people by nothing else, so another person of
// that name would be taken for the first (I06). Who gets another name keeps the
// old one, because what applications hold under it is still theirs.
type names struct{ vault *vault.Vault }

// ownedFor is how long a name is owned: for ever. Only an operator releases one.
const ownedFor = 100 * 365 * 24 * time.Hour

// held reports whether a name is this person's already. That it is somebody
// else's is a name_conflict, that the store cannot say a store_unavailable.
func (n names) held(ctx context.Context, user flows.UserKey, name string) (bool, error) {
	owner, newest, err := n.vault.Find(ctx, foldName(name))
	switch {
	case errors.Is(err, flows.ErrNotFound):
		return false, nil
	case err != nil:
		return false, namesDown(err)
	case flows.UserKey(owner) != user:
		return false, nameConflict(user, name, owner)
	}
	return newest, nil
}

// take makes a name this person's own, also if two ask at once: one gets it. It
// is called when nothing else can refuse them any more: a login that fails takes
// no name from anybody.
func (n names) take(ctx context.Context, user flows.UserKey, name string) error {
	var conflict error
	err := n.vault.Update(ctx, foldName(name), func(owner []byte) (flows.Change, error) {
		conflict = nil
		if owner != nil && flows.UserKey(owner) != user {
			conflict = nameConflict(user, name, owner)
			return flows.Keep(), conflict
		}
		return flows.Set([]byte(user), ownedFor), nil
	})
	switch {
	case conflict != nil:
		return conflict
	case err != nil:
		return namesDown(err)
	}
	return nil
}

func nameConflict(user flows.UserKey, name string, owner []byte) error {
	return flows.Refuse(flows.ReasonNameConflict, fmt.Errorf("%s came with the name '%s', which belongs to %s", user, name, owner))
}

func namesDown(err error) error {
	return flows.Refuse(flows.ReasonStoreDown, fmt.Errorf("reading whose a name is: %w: %w", flows.ErrUnavailable, err))
}

// foldName is a name as applications may compare it: without regard to case
// (Windows, most databases), in one of Unicode's compatible forms (Django), without
// blanks at the ends or doubled, and without characters that nobody sees. Spellings
// that one of them takes for the same belong to one person.
func foldName(name string) string {
	name = norm.NFKC.String(strings.Map(visible, name))
	for range 3 { // a few letters with marks come out as others first
		name = norm.NFKC.String(strings.ToLower(strings.ToUpper(name)))
	}
	return strings.Join(strings.Fields(name), " ")
}

func visible(r rune) rune {
	if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	return r
}

// adminRelease gives a name free. Its owner's sessions end, for they show it.
func (a *App) adminRelease(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.TrimPrefix(r.URL.Path, "/identity/names/"), "="))
	name := string(b)
	if err != nil || name == "" {
		return badRequest(errors.New("the path is /identity/names/<name, base64url>"))
	}
	owner, err := a.names.vault.Get(ctx, foldName(name))
	user := flows.UserKey(owner)
	if err := a.adminAudit(r, audit.Event{User: user, Name: name}); err != nil {
		return err // somebody else may have it then: this grants (I25)
	}
	switch {
	case errors.Is(err, flows.ErrNotFound):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("the name belongs to nobody")}
	case err != nil:
		return adminUnavailable(err)
	}
	ended, err := a.endUser(ctx, user)
	if err == nil {
		err = a.names.vault.Remove(ctx, foldName(name))
	}
	if err != nil {
		return adminUnavailable(err)
	}
	// Once more: who signed in between the two shows a name that is free.
	more, err := a.endUser(ctx, user)
	if err != nil {
		return adminUnavailable(err)
	}
	return adminJSON(w, map[string]any{"owner": user, "ended": ended + more})
}
