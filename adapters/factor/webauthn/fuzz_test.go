package webauthn

import (
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/factor/webauthn/webauthntest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// Whatever a browser sends, only what was signed for this very challenge is good.
func FuzzM07AnAnswer(f *testing.F) {
	r := newRig(f)
	if err := r.enrol(); err != nil {
		f.Fatal(err)
	}
	r.begin()
	right := r.sign()
	f.Add(right)
	f.Add(strings.Replace(right, `"type":"public-key"`, `"type":7`, 1))
	f.Add(`{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":""}}`)
	state := r.c.State
	f.Fuzz(func(t *testing.T, text string) {
		c := *r.c
		c.State = state
		v, err := r.w.Verify(t.Context(), &c, answer(text))
		if err == nil && (v.Record != "r1" || !strings.Contains(text, "signature")) {
			t.Errorf("accepted: %q", text)
		}
		if err != nil && flows.ReasonOf(err) != flows.ReasonKeyRefused {
			t.Errorf("%q: %v", text, err)
		}
		_, _ = r.w.Holder(answer(text))
	})
}

// A new key is good only if it was made for this very challenge.
func FuzzM07ANewKey(f *testing.F) {
	r := newRig(f)
	if err := r.w.BeginEnrol(f.Context(), r.c); err != nil {
		f.Fatal(err)
	}
	state, options := r.c.State, asked(f, r.w.DrawEnrol(r.c)).Options
	for _, format := range []string{"none", "packed", "tpm", "compound", "android-key", "fido-u2f", "apple"} {
		made, err := new(webauthntest.Authenticator).Create(options, here, func(a *webauthntest.Answer) {
			if a.Format = format; format != "none" {
				a.Statement = map[string]any{"alg": -7, "sig": []byte{1}, "x5c": []any{[]byte{2}}, "ver": "2.0", "certInfo": []byte{3}, "pubArea": []byte{4}}
			}
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(made)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := *r.c
		c.State = state
		record, _, err := r.w.Enrol(t.Context(), &c, answer(text))
		if err == nil && (record.Handle == "" || !strings.Contains(text, "attestationObject")) {
			t.Errorf("accepted: %q", text)
		}
		if err != nil && flows.ReasonOf(err) != flows.ReasonKeyRefused {
			t.Errorf("%q: %v", text, err)
		}
	})
}
