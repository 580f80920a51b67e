package module_test

import (
	"net/http"
	"testing"

	"github.com/sallyport-gateway/sallyport/adapters/idp/saml/samltest"
)

// Who has another subject at every login owns nothing that lasts: the next login of
// the same person is not another person's name, and keeps nobody out (I04, I06).
func TestI04TransientNameIDsOwnNoName(t *testing.T) {
	idp, op := newIDP(t, 1), newOP(t)
	g := start(t, samlBlock("corp", idp, "attribute name uid")+asked(t, "op", op), whoSite)
	login := "/.identity/login?provider=corp&return_to=/a"
	in := func(id string) int {
		t.Helper()
		b := newBrowser(t)
		idp.Person = someone("alice")
		idp.Person.NameID, idp.Person.Format = id, samltest.Transient
		p := g.brings(b, idp, idp.Respond(g.asksSAML(b, login)))
		if p.Status == http.StatusOK {
			landed(t, p, "/a", "corp:"+id)
		}
		return p.Status
	}
	if one, two := in("_one"), in("_two"); one != http.StatusOK || two != http.StatusOK {
		t.Fatalf("two logins of one person: %d, %d", one, two)
	}
	// Who lasts may own it, and then it is nobody else's.
	b := newBrowser(t)
	landed(t, g.open(b, g.url("/.identity/login?provider=op&return_to=/a")), "/a", "op:u-alice")
	if status := in("_three"); status != http.StatusForbidden {
		t.Fatalf("somebody else's name came in with a transient NameID: %d", status)
	}
	if e := g.lastDenied("login_denied", 1); e["reason"] != "name_conflict" {
		t.Fatalf("the trail says %v", e)
	}
}
