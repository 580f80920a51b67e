package flowstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// voucher is a sound verifier whose account ends, and that can be asked again.
type voucher struct {
	verifier
	bad func(u *flows.User, notAfter *time.Time, err *error)
}

func (v *voucher) VerifyPassword(ctx context.Context, name, password string) (flows.Proof, error) {
	p, err := v.verifier.VerifyPassword(ctx, name, password)
	if err == nil {
		p.NotAfter = Start.Add(time.Hour)
	}
	return p, err
}

func (v *voucher) Vouch(_ context.Context, subject string) (u flows.User, notAfter time.Time, err error) {
	if subject == "1" {
		p, _ := v.sound("anna", "right")
		u, notAfter = p.User, Start.Add(time.Hour)
	} else {
		err = flows.ErrCredentials
	}
	if v.bad != nil {
		v.bad(&u, &notAfter, &err)
	}
	return u, notAfter, err
}

func TestPasswordSuiteCatchesBrokenVouchers(t *testing.T) {
	t.Parallel()
	ask := func(bad func(u *flows.User, notAfter *time.Time, err *error)) []error {
		return Password{Guest: &voucher{bad: bad}, Name: "anna", Password: "right"}.Problems(t.Context())
	}
	if errs := ask(nil); len(errs) > 0 {
		t.Fatalf("a sound guest fails: %v", errs)
	}
	for name, tc := range map[string]struct {
		bad  func(u *flows.User, notAfter *time.Time, err *error)
		want string
	}{
		"nobody":    {func(_ *flows.User, _ *time.Time, err *error) { *err = flows.ErrCredentials }, "not vouched for"},
		"everybody": {func(_ *flows.User, _ *time.Time, err *error) { *err = nil }, "got <nil>, want ErrCredentials"},
		"another error": {func(_ *flows.User, _ *time.Time, err *error) {
			if *err != nil {
				*err = errors.New("no such entry")
			}
		}, "want ErrCredentials"},
		"somebody else":  {func(u *flows.User, _ *time.Time, _ *error) { u.Groups = append(u.Groups, "admins") }, "another than who signed in"},
		"without end":    {func(_ *flows.User, notAfter *time.Time, _ *error) { *notAfter = time.Time{} }, "signed in until"},
		"with a refusal": {func(u *flows.User, _ *time.Time, _ *error) { u.Name = "anna" }, "comes with the refusal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustSay(t, ask(tc.bad), tc.want)
		})
	}
}
