package module

import (
	"context"
	"encoding/json"
	"errors"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module/vault"
)

// contact is where a person is told of what others do to their account, kept with
// their factors: there may be no session to ask.
type contact struct {
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	Language string `json:"language,omitempty"`
}

func (a *App) contactVault() *vault.Vault {
	return a.vault("hall/contacts")
}

// noteContact keeps it. That it could not be kept does not undo what was done.
func (a *App) noteContact(ctx context.Context, u *flows.User, language string) {
	b, err := json.Marshal(contact{u.Name, u.Email, language})
	if err == nil {
		err = a.contactVault().Update(ctx, string(u.Key), func([]byte) (flows.Change, error) { return flows.Set(b, recordsFor), nil })
	}
	if err != nil {
		a.log.Warn("the address of a person is not kept: they will not be told of a reset", zap.String("user", string(u.Key)), zap.Error(err))
	}
}

// contact answers a person as far as they are known without a session.
func (a *App) contact(ctx context.Context, user flows.UserKey) (*flows.User, string, error) {
	u := &flows.User{Key: user}
	b, err := a.contactVault().Get(ctx, string(user))
	if errors.Is(err, flows.ErrNotFound) {
		return u, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var c contact
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, "", err
	}
	u.Name, u.Email = c.Name, c.Email
	return u, c.Language, nil
}
