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

// bench is what the corpus is made of, and the pending login it answers.
func (d *duo) bench() (*samltest.Bench, []byte) {
	d.t.Helper()
	r, private := d.begin()
	return &samltest.Bench{IDP: d.idp, Request: r, SP: own.Cert}, private
}

// corpus sends all messages of a row. Beside each hostile one the same answer
// goes through unspoilt, so that it is the attack that is refused.
func corpus(t *testing.T, row string) {
	t.Helper()
	d := newDuo(t, nil)
	n := 0
	for _, c := range samltest.Corpus() {
		if c.Row != row {
			continue
		}
		n++
		t.Run(c.Name, func(t *testing.T) {
			b, private := d.bench()
			p, err := d.finish(posted(c.Make(b)), private)
			if c.Reason == "" {
				want := c.Subject
				if want == "" {
					want = d.idp.Person.NameID
				}
				if err != nil || p.User.Subject != want {
					t.Fatalf("a good answer: %q, %v; want %q", p.User.Subject, err, want)
				}
				return
			}
			refused(t, err, flows.Reason(c.Reason), c.Why)
			if p.User.Subject != "" {
				t.Errorf("a proof for %q comes with the refusal", p.User.Subject)
			}
			b, private = d.bench()
			if _, err := d.finish(posted(b.Good().Form()), private); err != nil {
				t.Errorf("the unspoilt answer: %v", err)
			}
		})
	}
	if n == 0 {
		t.Fatalf("the corpus has nothing in row %s", row)
	}
}

func TestS01Wrapping(t *testing.T)    { corpus(t, "S1") }
func TestS02ForeignKeys(t *testing.T) { corpus(t, "S2") }
func TestS03References(t *testing.T)  { corpus(t, "S3") }
func TestS04Names(t *testing.T)       { corpus(t, "S4") }
func TestS05Bombs(t *testing.T)       { corpus(t, "S5") }
func TestS07NotForUs(t *testing.T)    { corpus(t, "S7") }
func TestS08Initiated(t *testing.T)   { corpus(t, "S8") }
func TestS09MixUp(t *testing.T)       { corpus(t, "S9") }
func TestS10Encrypted(t *testing.T)   { corpus(t, "S10") }
func TestS13Malformed(t *testing.T)   { corpus(t, "S13") }
