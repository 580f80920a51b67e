package login

import (
	"context"

	"github.com/sallyport-gateway/sallyport/flows"
)

// Show draws the page the step waits with; it asks and sends nothing (I28).
func (l *Login) Show(_ context.Context, x *flows.Execution) (flows.Page, error) {
	var k kept
	if _, err := x.Kept(&k); err != nil {
		return flows.Page{}, err
	}
	if k.Away {
		return flows.Page{}, flows.ErrNoPage
	}
	if p := l.may(x, k.Provider); p != nil {
		return l.passwordPage(p, "", "", 0), nil
	}
	return l.chooser(x, "", ""), nil
}

var _ flows.Shower = (*Login)(nil)
