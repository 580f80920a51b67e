package module_test

import (
	"net/http"
	"testing"
)

// I13: a ticket that one node replaced is good on no other node, though it was in
// use there: nobody goes on with what was proved before.
func TestI13ReplacedTicketOnASecondNode(t *testing.T) {
	idp := newIDP(t, 0)
	global := samlBlock("corp", idp, "idp_initiated on") + watchedLine
	g := start(t, global, whoSite)
	node := g.secondNode(global, whoSite)
	b, old, _ := g.samlIn(idp, "alice")
	if w := node(g.navigates("/a", old)); w.Code != http.StatusOK {
		t.Fatalf("the second node: %d", w.Code)
	}
	f, err := g.brings(b, idp, g.unasked(idp, "alice", "")).FormWith("token") // evidence is added: a new ticket
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Submit()
	if err != nil {
		t.Fatal(err)
	}
	landed(t, p, "/", "corp:alice")
	c := ticketOf(t, g, b)
	fresh := c.Name + "=" + c.Value
	if fresh == old {
		t.Fatal("the ticket was not replaced")
	}
	until(t, "the second node refuses the old ticket", func() bool { return node(g.navigates("/a", old)).Code == http.StatusUnauthorized })
	if w := node(g.navigates("/a", fresh)); w.Code != http.StatusOK {
		t.Errorf("the new ticket at the second node: %d", w.Code)
	}
}
