package module_test

import (
	"net/http"
	"strings"
	"testing"
)

const registerFlow = `messenger mail box
provider shop local {
registration
}
flow customers {
choose "Welcome" {
option sign_in "I have an account" {
login shop
}
option register "I am new here" {
register shop {
messenger mail
}
login shop
}
}
}
`

func TestRegisterWalk(t *testing.T) {
	got := mailbox(t, nil)
	g := start(t, registerFlow, "protect customers {\nheader X-Key {user.key}\nheader X-Email {user.email}\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	p := fill(t, g.open(b, g.url("/a")), "option", "register")
	p = fill(t, p, "email", "Anna@example.com", "display_name", "Anna", "password", "too short")
	if p.Status != http.StatusUnprocessableEntity || !p.Has("too short") || p.Has(`value="too short"`) {
		t.Fatalf("%d\n%s", p.Status, p.Text())
	}
	p = fill(t, p, "email", "Anna@example.com", "display_name", "Anna", "password", "vier blaue Elefanten")
	if p.Status != http.StatusOK || !p.Has("Anna@example.com") {
		t.Fatalf("want the page for the code: %d\n%s", p.Status, p.Text())
	}
	m := got("register_code", 1)[0]
	if m.To != "Anna@example.com" || !strings.Contains(m.Text, m.Secret["code"]) {
		t.Fatalf("sent %+v", m)
	}
	p = fill(t, p, "code", wrongCode(m.Secret["code"]))
	want(t, p, http.StatusUnauthorized)
	p = fill(t, p, "code", m.Secret["code"])
	if e := g.events("account_made", 1)[0]; e["item"] != "shop" {
		t.Errorf("the trail has %v", e)
	}
	if p.Status != http.StatusOK || !p.Has("password") || g.hasTicket(b) {
		t.Fatalf("want the sign-in page: %d\n%s", p.Status, p.Text())
	}
	p = fill(t, p, "username", "anna@example.com", "password", "vier blaue Elefanten")
	if p.Status != http.StatusOK || p.Path() != "/a" || !p.Has("X-Email: Anna@example.com") || !p.Has("X-Key: shop:") || p.Has("X-Key: shop:Anna") {
		t.Fatalf("%d at %s\n%s", p.Status, p.URL, p.Text())
	}
	// Who has an account learns it by mail, and the page says the same as before.
	p = fill(t, g.open(newBrowser(t), g.url("/a")), "option", "register")
	p = fill(t, p, "email", "anna@example.com", "display_name", "Mallory", "password", "vier rote Elefanten")
	if p.Status != http.StatusOK || !p.Has("We have written to this address.") {
		t.Errorf("%d\n%s", p.Status, p.Text())
	}
	if m := got("register_exists", 1)[0]; m.To != "anna@example.com" || strings.Contains(m.Text, "{") {
		t.Errorf("sent %+v", m)
	}
}

func wrongCode(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}
