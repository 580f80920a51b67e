package saml

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/caddyserver/caddy/v2"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
	"github.com/sallyport-gateway/sallyport/flows"
)

// The requirement of crewjam/saml alone picks a goxmldsig that takes a signature
// over one reference for another's (CVE-2026-33487): our own line must stay.
func TestS03VersionOfTheSignatureLibrary(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^\tgithub\.com/russellhaering/goxmldsig v1\.(\d+)\.\d+$`).FindSubmatch(mod)
	if line == nil {
		t.Fatal("go.mod requires no goxmldsig of its own")
	}
	if minor := string(line[1]); len(minor) == 1 && minor < "6" {
		t.Errorf("goxmldsig v1.%s, want v1.6 or later", minor)
	}
	d := newDuo(t, nil)
	b, _ := d.bench()
	_, forged := samltest.MultiReference(b)
	doc := etree.NewDocument()
	if err := doc.ReadFromString(forged); err != nil {
		t.Fatal(err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: certs(d.idp)})
	ctx.Clock = dsig.NewFakeClockAt(d.reg.Now())
	if _, err := ctx.Validate(doc.Root()); err == nil {
		t.Error("the library itself takes the forgery")
	}
}

// One assertion is good for one login, on whatever node, and so is one request (S6).
func TestS06Replay(t *testing.T) {
	d := newDuo(t, nil)
	r, private := d.begin()
	form := d.idp.Respond(r).Form()
	first, err := d.finish(posted(form), private)
	if err != nil {
		t.Fatal(err)
	}
	vault := d.reg.Vault("marks") // as the hall consumes them, for all nodes
	consume := func(p flows.Proof) error {
		for _, m := range p.Once {
			if err := vault.Create(t.Context(), m.Space+"\x00"+m.ID, nil, m.Until.Sub(d.reg.Now())); err != nil {
				return err
			}
		}
		return nil
	}
	if err := consume(first); err != nil {
		t.Fatal(err)
	}
	again, err := d.finish(posted(form), private)
	if err != nil {
		t.Fatal(err)
	}
	if err := consume(again); !errors.Is(err, flows.ErrExists) {
		t.Errorf("the same message again: %v, want that it was used", err)
	}
	second := d.idp.Respond(r) // another assertion to the same request
	p, err := d.finish(posted(second.Form()), private)
	if err != nil {
		t.Fatal(err)
	}
	if err := consume(p); !errors.Is(err, flows.ErrExists) {
		t.Errorf("a second answer to one request: %v, want that it was used", err)
	}
	mark := first.Once[0]
	if mark.Space != "saml.assertion" || !strings.Contains(mark.ID, d.idp.EntityID) {
		t.Errorf("mark %+v does not name whose assertion it is", mark)
	}
	d.reg.Forward(mark.Until.Sub(d.reg.Now()))
	if _, err := d.finish(posted(form), private); err == nil {
		t.Error("taken when its mark is gone")
	}
}

// What was parked is judged by the clock again when its browser comes.
func TestS07ParkedTooLong(t *testing.T) {
	d := newDuo(t, nil)
	r, private := d.begin()
	got, err := d.s.Receive(t.Context(), posted(d.idp.Respond(r).Form()))
	if err != nil {
		t.Fatal(err)
	}
	d.reg.Forward(5 * time.Minute)
	_, err = d.s.Finish(t.Context(), flows.Callback{Received: got.Answer}, private)
	refused(t, err, flows.ReasonInvalidAnswer, "the answer expired")
}

// A provider has its own skew.
func TestS07ClockSkewOfTheProvider(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.ClockSkew = caddy.Duration(10 * time.Second) })
	_, err := d.answer(func(r *samltest.Response) { r.IssueInstant = d.ago(-30 * time.Second) })
	refused(t, err, flows.ReasonInvalidAnswer, "Response was issued 30s ahead of our clock")
	d = newDuo(t, func(s *SAML) { s.ClockSkew = caddy.Duration(15 * time.Minute) })
	d.mustAnswer(func(r *samltest.Response) { r.IssueInstant = d.ago(-10 * time.Minute) })
}

// An answer meets the login of its own browser and no other (login CSRF).
func TestS08AnotherLoginsAnswer(t *testing.T) {
	d := newDuo(t, nil)
	mine, private := d.begin()
	theirs, _ := d.begin()
	_, err := d.finish(posted(d.idp.Respond(theirs).Form()), private)
	refused(t, err, flows.ReasonInvalidAnswer, "not to that of this login")
	if _, err := d.finish(posted(d.idp.Respond(mine).Form()), nil); err == nil {
		t.Error("an answer without any pending login is taken")
	}
	var pend pending
	if err := json.Unmarshal(private, &pend); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*pending){
		"asked another provider": func(p *pending) { p.Issuer = "https://other.example" },
		"asked for another ACS":  func(p *pending) { p.Callback = "https://other.example/acs" },
		"under another name":     func(p *pending) { p.Entity = "https://other.example" },
		"an hour and more ago":   func(p *pending) { p.Begun -= 3700 },
		"without an ID":          func(p *pending) { p.ID = "" },
	} {
		bad := pend
		spoil(&bad)
		state, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.finish(posted(d.idp.Respond(mine).Form()), state); flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
			t.Errorf("a login that %s: %v", name, err)
		}
	}
}

// idp_initiated lets answers in that have no request, and changes nothing for
// those that name one.
func TestS08InitiatedOn(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.IDPInitiated = true })
	unasked := func(r *samltest.Response) { r.InResponseTo, r.Assertion.InResponseTo = "", "" }
	got, err := d.s.Receive(t.Context(), posted(d.idp.Initiate(acs, entity).Form()))
	if err != nil || !got.Initiated || got.Name != "alice" {
		t.Fatalf("Receive: %+v, %v", got, err)
	}
	p := d.mustAnswer(unasked)
	if p.Evidence[0].Kind != flows.IDPInitiated || len(p.Once) != 1 {
		t.Errorf("evidence %+v, marks %+v", p.Evidence[0], p.Once)
	}
	// It is nobody's answer: a pending login does not take it for its own.
	_, private := d.begin()
	_, err = d.s.Finish(t.Context(), flows.Callback{Received: got.Answer}, private)
	refused(t, err, flows.ReasonInvalidAnswer, "not to that of this login")
	for name, spoil := range map[string]func(*samltest.Response){
		"of an unknown request": func(r *samltest.Response) { r.InResponseTo, r.Assertion.InResponseTo = "_x", "_x" },
		"in the Response only":  func(r *samltest.Response) { r.InResponseTo, r.Assertion.InResponseTo = "_x", "" },
		"in the assertion only": func(r *samltest.Response) { r.InResponseTo, r.Assertion.InResponseTo = "", "_x" },
	} {
		if _, err := d.answer(spoil); flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
			t.Errorf("InResponseTo %s: %v", name, err)
		}
	}
	off := newDuo(t, nil)
	res := off.idp.Initiate(acs, entity)
	_, err = off.s.Receive(t.Context(), posted(res.Form())) // not even parked
	refused(t, err, flows.ReasonInvalidAnswer, "began this login by itself")
	_, err = off.s.Finish(t.Context(), posted(res.Form()), nil)
	refused(t, err, flows.ReasonInvalidAnswer, "began this login by itself")
}

// RelayState comes back as it is: a handle, whatever it looks like.
func TestS08RelayStateIsNoAddress(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.IDPInitiated = true })
	for _, state := range []string{"https://evil.example/", "//evil.example", "javascript:alert(1)", `https:\\evil.example`, "", "\r\nLocation: x", strings.Repeat("x", 5000)} {
		r := d.idp.Initiate(acs, entity)
		r.RelayState = state
		got, err := d.s.Receive(t.Context(), posted(r.Form()))
		if err != nil || got.Handle != state || strings.Contains(string(got.Answer), "evil") {
			t.Errorf("RelayState %q: handle %q, %v", state, got.Handle, err)
		}
	}
}

// The answer of B to a request to A, on providers that both are configured (S9).
func TestS09TwoProviders(t *testing.T) {
	a, b := newDuo(t, nil), duoWith(t, samltest.New(t, 7), nil)
	r, private := a.begin()
	_, err := a.finish(posted(b.idp.Respond(r).Form()), private)
	refused(t, err, flows.ReasonInvalidAnswer, "the provider is")
	got, err := b.s.Receive(t.Context(), posted(b.idp.Respond(r).Form())) // B's own ACS took it
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.s.Finish(t.Context(), flows.Callback{Received: got.Answer}, private)
	refused(t, err, flows.ReasonInvalidAnswer, "asked was")
}

// A stranger learns nothing from how an encrypted assertion is refused (S10).
func TestS10OneRefusalForAll(t *testing.T) {
	d := newDuo(t, nil)
	said := map[string][]string{}
	for _, c := range samltest.Corpus() {
		if c.Row != "S10" || c.Why != "the encrypted assertion cannot be opened" {
			continue
		}
		b, private := d.bench()
		_, err := d.finish(posted(c.Make(b)), private)
		said[err.Error()] = append(said[err.Error()], c.Name)
	}
	if len(said) != 1 {
		t.Errorf("refused in %d ways: %v", len(said), said)
	}
}

// All failures do the same work: who opens a ciphertext ends with a parsed
// document of its size, a checked signature and a digest.
func TestS10SameWork(t *testing.T) {
	d := newDuo(t, nil)
	r, _ := d.begin()
	res := d.idp.Respond(r)
	good := []byte(res.Assertion.Signed())
	p, err := d.s.peer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, plain := range map[string][]byte{
		"noise": make([]byte, len(good)), "cut": good[:len(good)-3], "no assertion": []byte("<x></x>"),
		"unsigned": []byte(res.Assertion.Text()), "changed": []byte(strings.Replace(string(good), ">alice<", ">admin<", 1)),
	} {
		w := opening{size: len(plain), certs: p.Certs}
		if _, err := w.verify(plain, false); err == nil {
			t.Fatalf("%s: opened", name)
		}
		w.even()
		if w.root == nil || !w.checked || !w.digested || w.scanned != len(plain) {
			t.Errorf("%s: parsed %t, signature checked %t, digested %t, %d of %d bytes read", name, w.root != nil, w.checked, w.digested, w.scanned, len(plain))
		}
	}
}

// A library that panics is a refusal, and nothing is held afterwards (C15).
func TestS13PanicIsARefusal(t *testing.T) {
	d := newDuo(t, nil)
	now := d.s.now
	d.s.now = func() time.Time { panic("as a library might") }
	_, err := d.answer(nil)
	refused(t, err, flows.ReasonInvalidAnswer, "the message could not be read")
	d.s.now = now
	d.mustAnswer(nil)
}

// As many messages are read at once as there are processors: memory for each is
// not a stranger's to multiply (S5).
func TestS05ReadInTurn(t *testing.T) {
	d := newDuo(t, nil)
	d.mustAnswer(nil) // the metadata is at hand
	r, _ := d.begin()
	form := d.idp.Respond(r).Form()
	for range cap(desks()) {
		desks() <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.s.Receive(ctx, posted(form))
	for range cap(desks()) {
		<-desks()
	}
	refused(t, err, flows.ReasonInternal, "waiting to read a message")
	var wg sync.WaitGroup
	for range 4 * cap(desks()) {
		wg.Go(func() {
			if _, err := d.s.Receive(t.Context(), posted(form)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Whatever is cut off a good message, and wherever, it is a refusal.
func TestS13Truncated(t *testing.T) {
	d := newDuo(t, nil)
	r, _ := d.begin()
	whole := d.idp.Respond(r).XML()
	for i := 0; i < len(whole); i += 37 {
		for _, part := range []string{whole[:i], whole[i:]} {
			if i == 0 && part == whole {
				continue
			}
			_, err := d.s.Receive(t.Context(), posted(samltest.PostForm("SAMLResponse", part, "h")))
			if flows.ReasonOf(err) != flows.ReasonInvalidAnswer {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
	}
}

// Metadata that is not at hand is not the person's fault.
func TestAnswerWithoutMetadata(t *testing.T) {
	d := newDuo(t, func(s *SAML) { s.Metadata = filepath.Join(t.TempDir(), "none.xml") })
	_, err := d.answer(nil)
	refused(t, err, flows.ReasonProviderDown, "")
}
