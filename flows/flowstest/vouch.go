package flowstest

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-gateway/sallyport/flows"
)

// vouched: who is vouched for is who signed in, for as long, and nobody else is.
func vouched(ctx context.Context, l *list, v flows.Voucher, p flows.Proof) {
	u, notAfter, err := v.Vouch(ctx, p.User.Subject)
	switch {
	case err != nil:
		l.addf("who signed in is not vouched for: %v", err)
		return
	case fmt.Sprint(u) != fmt.Sprint(p.User):
		l.addf("who is vouched for is another than who signed in: %+v, %+v", u, p.User)
	case !notAfter.Equal(p.NotAfter):
		l.addf("vouched for until %v, signed in until %v", notAfter, p.NotAfter)
	}
	for _, subject := range []string{"", "*", "nobody-" + p.User.Subject, p.User.Subject + "x", p.User.Subject + "\x00"} {
		u, notAfter, err := v.Vouch(ctx, subject)
		if !errors.Is(err, flows.ErrCredentials) {
			l.addf("vouching for %q: got %v, want ErrCredentials", subject, err)
		}
		if u.Subject != "" || u.Name != "" || !notAfter.IsZero() {
			l.addf("vouching for %q: somebody comes with the refusal", subject)
		}
	}
}
