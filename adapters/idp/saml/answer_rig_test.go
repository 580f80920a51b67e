package saml

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

const (
	acs    = "https://app.example/.identity/saml/corp/acs"
	entity = "https://app.example/.identity/saml/corp/metadata"
)

// own is the service provider's key.
var own = samltest.RSA(100)

// duo is a provider guest, the identity provider it trusts, and one clock for both.
type duo struct {
	t   testing.TB
	idp *samltest.IDP
	s   *SAML
	reg *flowstest.Registry
}

func newDuo(t testing.TB, edit func(*SAML)) *duo {
	t.Helper()
	return duoWith(t, samltest.New(t, 0), edit)
}

// duoWith trusts the identity provider as its metadata is now.
func duoWith(t testing.TB, i *samltest.IDP, edit func(*SAML)) *duo {
	t.Helper()
	d := &duo{t: t, idp: i, reg: flowstest.NewRegistry()}
	d.idp.Now = d.reg.Now
	d.s = &SAML{
		Metadata: file(t, d.idp.Metadata()),
		Keys:     []KeyPair{{Key: file(t, own.KeyPEM()), Certificate: file(t, own.CertPEM())}},
	}
	if edit != nil {
		edit(d.s)
	}
	provision(t, d.s)
	if err := d.s.Bind(d.reg); err != nil {
		t.Fatal(err)
	}
	return d
}

// file holds a text for this test.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certs are those of an identity provider's metadata.
func certs(i *samltest.IDP) []*x509.Certificate {
	out := []*x509.Certificate{i.Cert}
	for _, m := range i.More {
		out = append(out, m.Cert)
	}
	return out
}

// begin is a pending login, and what was asked.
func (d *duo) begin() (samltest.Request, []byte) {
	d.t.Helper()
	r := samltest.Request{ID: samltest.NewID(), ACS: acs, Issuer: entity, RelayState: "sealed-handle"}
	private, err := json.Marshal(pending{ID: r.ID, Callback: acs, Entity: entity, Issuer: d.idp.EntityID, MaxAge: -1, Begun: d.reg.Now().Unix()})
	if err != nil {
		d.t.Fatal(err)
	}
	return r, private
}

func posted(form url.Values) flows.Callback {
	return flows.Callback{Provider: "corp", URL: acs, Method: "POST", Values: form}
}

// finish is the whole way: the answer comes without cookies, then meets its login.
func (d *duo) finish(c flows.Callback, private []byte) (flows.Proof, error) {
	d.t.Helper()
	got, err := d.s.Receive(d.t.Context(), c)
	if err != nil {
		return flows.Proof{}, err
	}
	if got.Initiated {
		private = nil // as the hall does
	}
	return d.s.Finish(d.t.Context(), flows.Callback{Provider: "corp", Received: got.Answer}, private)
}

// answer is a usual login whose answer a test spoils.
func (d *duo) answer(edit func(*samltest.Response)) (flows.Proof, error) {
	d.t.Helper()
	r, private := d.begin()
	res := d.idp.Respond(r)
	if edit != nil {
		edit(res)
	}
	return d.finish(posted(res.Form()), private)
}

func (d *duo) mustAnswer(edit func(*samltest.Response)) flows.Proof {
	d.t.Helper()
	p, err := d.answer(edit)
	if err != nil {
		d.t.Fatalf("a good answer is refused: %v", err)
	}
	return p
}

// refused fails unless err is a refusal with this reason, for this cause.
func refused(t testing.TB, err error, reason flows.Reason, why string) {
	t.Helper()
	var r *flows.Refusal
	switch {
	case err == nil:
		t.Errorf("accepted, want %s: %s", reason, why)
	case !errors.As(err, &r):
		t.Errorf("got %v, which is no refusal", err)
	case r.Reason != reason || !strings.Contains(err.Error(), why):
		t.Errorf("got %v, want %s: …%s…", err, reason, why)
	}
}

// ago is a time before the clock's.
func (d *duo) ago(by time.Duration) time.Time { return d.reg.Now().Add(-by) }
