package saml

import (
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestRedirector(t *testing.T) {
	d := newDuo(t, nil)
	flowstest.TestRedirector(t, flowstest.Redirector{
		Guest: d.s,
		Start: flows.Start{CallbackURL: acs, Handle: "sealed-handle", MaxAge: -1},
		Answer: func(s flowstest.Seen) (flows.Callback, error) {
			r, err := samltest.Parse(s.URL)
			if err != nil {
				return flows.Callback{}, err
			}
			return posted(d.idp.Respond(r).Form()), nil
		},
	})
}
