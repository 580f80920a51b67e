package local

import (
	"errors"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func registering(t *testing.T) (*Provider, *flowstest.Registry) {
	t.Helper()
	p, err := parse("local {\nregistration\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := load(p); err != nil {
		t.Fatal(err)
	}
	reg := flowstest.NewRegistry()
	if err := p.Bind(reg); err != nil {
		t.Fatal(err)
	}
	p.gate = newGate(4, 64)
	return p, reg
}

func join(t *testing.T, p *Provider, email, password string) flows.UserKey {
	t.Helper()
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Register(t.Context(), flows.Account{Email: email, DisplayName: "Anna", Hash: hash}); err != nil {
		t.Fatal(err)
	}
	proof, err := p.VerifyPassword(t.Context(), email, password)
	if err != nil {
		t.Fatal(err)
	}
	key, err := flows.MakeUserKey("shop", proof.User.Subject)
	if err != nil || proof.User.Subject == email || proof.User.Email != email || proof.User.Name != email {
		t.Fatalf("%+v, %v", proof.User, err)
	}
	return key
}

func TestRegisteredAccountsSignIn(t *testing.T) {
	t.Parallel()
	p, reg := registering(t)
	join(t, p, "Anna@example.com", "vier blaue Elefanten")
	for _, tc := range []struct{ name, password string }{
		{"Anna@example.com", "vier blaue elefanten"}, {"bert@example.com", "vier blaue Elefanten"}, {"anna@example.com", ""}, {"", "x"},
	} {
		if _, err := p.VerifyPassword(t.Context(), tc.name, tc.password); !errors.Is(err, flows.ErrCredentials) {
			t.Errorf("%v: %v", tc, err)
		}
	}
	if _, err := p.VerifyPassword(t.Context(), "anna@EXAMPLE.com", "vier blaue Elefanten"); err != nil {
		t.Errorf("another spelling: %v", err)
	}
	if err := p.Register(t.Context(), flows.Account{Email: "ANNA@example.com"}); !errors.Is(err, flows.ErrExists) {
		t.Errorf("an address was taken over: %v", err)
	}
	reg.VaultOf("accounts").SetDown(true)
	if _, err := p.VerifyPassword(t.Context(), "anna@example.com", "vier blaue Elefanten"); flows.ReasonOf(err) != flows.ReasonProviderDown {
		t.Errorf("could not ask reads as no: %v", err)
	}
}

// M4: an address without an account costs what one with an account does.
func TestM04RegisteredAndUnknownCostTheSame(t *testing.T) {
	t.Parallel()
	p, _ := registering(t)
	join(t, p, "anna@example.com", "vier blaue Elefanten")
	a, known, err := p.account(t.Context(), "anna@example.com")
	if err != nil || !known || a.hash.kind() != p.dummy.kind() {
		t.Errorf("%v %v: %s and %s", known, err, a.hash.kind(), p.dummy.kind())
	}
}

func TestRegisteredAccountsAreKept(t *testing.T) {
	t.Parallel()
	p, _ := registering(t)
	flowstest.TestKeeper(t, p, "shop:nobody", func() {
		// The key of an account is known only when it is there.
		_ = p.vault.Create(t.Context(), "subject nobody", []byte("anna@example.com"), flows.KeptFor)
		_ = p.vault.Create(t.Context(), "email anna@example.com", []byte(`{"subject":"nobody","email":"anna@example.com","created":"2026-01-01T00:00:00Z"}`), flows.KeptFor)
	})
	key := join(t, p, "bert@example.com", "vier blaue Elefanten")
	if err := p.Erase(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := p.VerifyPassword(t.Context(), "bert@example.com", "vier blaue Elefanten"); !errors.Is(err, flows.ErrCredentials) {
		t.Errorf("an erased account signs in: %v", err)
	}
	off := provider(t, "local {\nuser anna "+bcryptText+"\n}")
	if off.Registers() {
		t.Error("it registers though nobody said so")
	}
}
