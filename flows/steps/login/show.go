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
	if k.Approve {
		return approvePage(x), nil
	}
	return l.offer(x, k, l.current(x, k, "", 0)), nil
}

// approvePage shows what a login is for that is bound to one request.
func approvePage(x *flows.Execution) flows.Page {
	return flows.Page{Kind: "approve", Submit: "continue", Widgets: approving(x)}
}

// approving is the table of that; nothing where there is none.
func approving(x *flows.Execution) []flows.Widget {
	if len(x.Show) == 0 {
		return nil
	}
	return []flows.Widget{flows.Table{Label: "approving", Rows: x.Show}}
}

var _ flows.Shower = (*Login)(nil)
