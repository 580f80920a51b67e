package saml

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// FuzzResponse: whatever comes is refused or says what the provider signed, and
// nothing panics: the fuzzer calls below the recover. The corpus is the hostile
// provider's.
func FuzzResponse(f *testing.F) {
	d := newDuo(f, func(s *SAML) { s.IDPInitiated = true })
	b, _ := d.bench()
	b.IDP.Person.NameID = "alice"
	for i, c := range samltest.Corpus() {
		raw, err := base64.StdEncoding.DecodeString(c.Make(b).Get("SAMLResponse"))
		if err == nil && len(raw) > 0 && len(raw) < 16<<10 {
			f.Add(raw, uint16(i), uint16(len(raw)/2), uint16(0))
		}
	}
	said := map[string]bool{"alice": true, "alice@example.test": true, "a<b>&c": true}
	check := func(t *testing.T, raw []byte) {
		form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(raw)}, "RelayState": {"h"}}
		got, err := d.s.verified(t.Context(), posted(form))
		if err != nil {
			var r *flows.Refusal
			if !errors.As(err, &r) {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if got.NameID != nil && !said[got.NameID.Value] {
			t.Fatalf("taken: %+v", got)
		}
	}
	messages := [][]byte{}
	for _, c := range samltest.Corpus() {
		if raw, err := base64.StdEncoding.DecodeString(c.Make(b).Get("SAMLResponse")); err == nil && len(raw) > 0 && len(raw) < 16<<10 {
			messages = append(messages, raw)
		}
	}
	// Every process has keys of its own, so a message of this one is cut and mended:
	// a message from the fuzzer never gets past the signature.
	f.Add([]byte(nil), uint16(0), uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, raw []byte, which, at, cut uint16) {
		check(t, raw)
		m := messages[int(which)%len(messages)]
		i := int(at) % len(m)
		j := min(len(m), i+int(cut)%64)
		check(t, slices.Concat(m[:i], raw, m[j:]))
	})
}

// FuzzFinish: what was parked is read like anything else.
func FuzzFinish(f *testing.F) {
	d := newDuo(f, func(s *SAML) { s.IDPInitiated = true })
	r, private := d.begin()
	got, err := d.s.Receive(f.Context(), posted(d.idp.Respond(r).Form()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(got.Answer, private)
	f.Add([]byte("{}"), []byte("{}"))
	f.Fuzz(func(t *testing.T, answer, private []byte) {
		p, err := d.s.Finish(t.Context(), flows.Callback{Received: answer}, private)
		if err == nil && (p.User.Subject == "" || len(p.Once) == 0) {
			t.Fatalf("a proof of nobody, or one that can be used twice: %+v", p)
		}
	})
}

// FuzzSealedPlaintext: what is decrypted was chosen by whoever encrypted it, and
// our public key is public.
func FuzzSealedPlaintext(f *testing.F) {
	d := newDuo(f, nil)
	p, err := d.s.peer(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	r, _ := d.begin()
	f.Add([]byte(d.idp.Respond(r).Assertion.Signed()), false)
	f.Add([]byte(d.idp.Respond(r).Assertion.Text()), true)
	f.Fuzz(func(t *testing.T, plain []byte, vouched bool) {
		w := opening{size: len(plain), certs: p.Certs}
		el, err := w.verify(plain, vouched)
		if err != nil {
			w.even()
		} else if !is(el, nsSAML, "Assertion") {
			t.Fatal("taken: no assertion")
		}
	})
}

// what a proof keeps must be readable by who sends the LogoutRequest.
func grantOf(t *testing.T, p flows.Proof) grant {
	t.Helper()
	var g grant
	if err := json.Unmarshal(p.Tokens, &g); err != nil {
		t.Fatal(err)
	}
	return g
}
