package saml

import (
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// A key that the provider rolled over since the last look at its metadata is
// found, by at most one look a minute, whoever sends how many answers (B19).
func TestB19RolledOverKey(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		i := samltest.New(t, 1)
		d := duoWith(t, i, func(s *SAML) { s.Metadata = i.URL + "/metadata" })
		answer := func(key samltest.Pair) error {
			_, err := d.answer(func(r *samltest.Response) {
				r.Assertion.Sign.Pair = key
				if sealed {
					r.Assertion.Encrypt = &samltest.Encryption{To: own.Cert}
				}
			})
			return err
		}
		if err := answer(samltest.RSA(1)); err != nil {
			t.Fatal(err)
		}
		i.Pair = samltest.RSA(2)
		if err := answer(samltest.RSA(2)); flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
			t.Errorf("within a minute: %v", err)
		}
		d.reg.Forward(time.Minute)
		if err := answer(samltest.RSA(2)); err != nil {
			t.Errorf("a new key, sealed %v: %v", sealed, err)
		}
		if err := answer(samltest.RSA(1)); err == nil {
			t.Error("the old key is still good")
		}
		before := i.MetadataAsked()
		for range 20 {
			if answer(samltest.RSA(3)) == nil {
				t.Fatal("a stranger's key is good")
			}
		}
		if n := i.MetadataAsked() - before; n != 0 {
			t.Errorf("%d looks at the metadata for strangers", n)
		}
	}
}
