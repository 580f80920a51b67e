package module_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/adapters/idp/oidc/oidctest"
)

// phonebook is a web service that knows people's groups.
type phonebook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	answer any
	asked  []string // by and value of each question
}

func newPhonebook(t *testing.T) *phonebook {
	t.Helper()
	b := &phonebook{status: http.StatusOK}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked = append(b.asked, r.FormValue("by")+"="+r.FormValue("is"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(b.status)
		_ = json.NewEncoder(w).Encode(b.answer)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *phonebook) says(status int, answer any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.answer, b.asked = status, answer, nil
}

func (b *phonebook) questions() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func (b *phonebook) directory(name string) string {
	return fmt.Sprintf("directory %s http {\nurl %s/people\nquery by {by}\nquery is {value}\n}\n", name, b.URL)
}

// manyGroups are more than Entra lists in a token, and fit into a header.
func manyGroups() (names []string) {
	for i := range 250 {
		names = append(names, fmt.Sprintf("team-%03d", i))
	}
	return names
}

// tooMany is a person of Entra whose token has a part of the groups at most.
func tooMany() map[string]any {
	return entraUser(map[string]any{"groups": []string{"a-part-of-them"}, "hasgroups": true})
}

const (
	objectID    = "00000000-0000-0000-66f3-3332eca7ea81"
	overageSite = "protect {\nheader X-Key {user.key}\nheader X-Groups {user.groups}\nheader X-Claim {user.claims.groups}\nrequire /last/* `\"team-249\" in user.groups`\nrequire /part/* `\"a-part-of-them\" in user.groups`\n}\nreverse_proxy {APP}"
)

func overageGateway(t *testing.T, op *oidctest.OP, b *phonebook, more ...string) *gateway {
	t.Helper()
	return start(t, b.directory("hr")+preset(t, "entra", op, append(more, "tenant "+tenantA, "groups_overage hr")...), overageSite)
}

// B24: where the provider left groups out, the directory is asked for all of them.
func TestB24OverageDirectoryGivesAllGroups(t *testing.T) {
	op, book := newEntra(t, tenantA), newPhonebook(t)
	g := overageGateway(t, op, book)
	all := manyGroups()
	book.says(http.StatusOK, map[string]any{"oid": objectID, "groups": all})
	for name, claims := range map[string]map[string]any{
		"code flow": {"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]any{"endpoint": op.Issuer + "/groups"}}},
		"implicit":  {"groups": nil, "hasgroups": true},
		"a part":    {"groups": []string{"a-part-of-them"}, "hasgroups": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			op.SetUser(entraUser(claims))
			b := newBrowser(t)
			p := g.open(b, g.url("/last/x"))
			landed(t, p, "/last/x", "corp:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")
			if got := header(p.Body, "X-Groups"); !slices.Equal(got, []string{strings.Join(all, ",")}) {
				t.Errorf("X-Groups: %q", got)
			}
			if got := header(p.Body, "X-Claim"); got != nil {
				t.Errorf("the part is seen: %q", got)
			}
			want(t, g.open(b, g.url("/part/x")), http.StatusForbidden)
		})
	}
	for _, q := range book.questions() {
		if q != "oid="+objectID {
			t.Errorf("asked by %s", q)
		}
	}
	// Whose token holds all of them, the directory is not asked about.
	book.says(http.StatusOK, nil)
	op.SetUser(entraUser(nil))
	landed(t, g.open(newBrowser(t), g.url("/a")), "/a", "")
	if q := book.questions(); len(q) > 0 {
		t.Errorf("asked for nothing: %v", q)
	}
}

// Without a preset the directory knows people by sub.
func TestB24OverageDirectoryBySub(t *testing.T) {
	op, book := newOP(t), newPhonebook(t)
	g := start(t, asked(t, "corp", op, "groups_overage hr")+book.directory("hr"), overageSite)
	op.SetUser(map[string]any{"sub": "u-1", "preferred_username": "alice", "hasgroups": true})
	book.says(http.StatusOK, []any{map[string]any{"sub": "u-1", "groups": manyGroups()}})
	landed(t, g.open(newBrowser(t), g.url("/last/x")), "/last/x", "corp:u-1")
	if q := book.questions(); !slices.Equal(q, []string{"sub=u-1"}) {
		t.Errorf("asked %v", q)
	}
}

// A directory on the premises knows people by another name, which a claim says.
func TestB24OverageDirectoryByAnotherClaim(t *testing.T) {
	op, book := newEntra(t, tenantA), newPhonebook(t)
	g := start(t, book.directory("hr")+preset(t, "entra", op, "tenant "+tenantA, "groups_overage hr objectSid onprem_sid"), overageSite)
	op.SetUser(entraUser(map[string]any{"groups": nil, "hasgroups": true, "onprem_sid": "S-1-5-21-1-2-3-1104"}))
	book.says(http.StatusOK, map[string]any{"groups": manyGroups()})
	landed(t, g.open(newBrowser(t), g.url("/last/x")), "/last/x", "")
	if q := book.questions(); !slices.Equal(q, []string{"objectSid=S-1-5-21-1-2-3-1104"}) {
		t.Errorf("asked %v", q)
	}
	op.SetUser(tooMany())
	g.refusedAs(t, "groups_overage", "more groups than the sign-in service can list", "no onprem_sid")
}

// What is not surely all of the groups lets nobody in.
func TestB24OverageDirectoryWithoutTheGroups(t *testing.T) {
	op, book := newEntra(t, tenantA), newPhonebook(t)
	op.SetUser(tooMany())
	g := overageGateway(t, op, book)
	one := func(more map[string]any) map[string]any { more["oid"] = objectID; return more }
	for _, tc := range []struct {
		name   string
		status int
		answer any
		detail string
	}{
		{"no groups", 200, one(map[string]any{"mail": "a@contoso.com"}), "not a list"},
		{"null", 200, one(map[string]any{"groups": nil}), "not a list"},
		{"a text", 200, one(map[string]any{"groups": "a,b"}), "not a list"},
		{"an object", 200, one(map[string]any{"groups": map[string]any{"a": 1}}), "not a list"},
		{"numbers", 200, one(map[string]any{"groups": []any{"a", 1}}), "the list holds"},
		{"none", 200, one(map[string]any{"groups": []any{}}), "is empty"},
		{"a page", 200, one(map[string]any{"groups": []any{"a"}, "groups@odata.nextLink": "https://graph.example/2"}), "goes on elsewhere"},
		{"nobody", 200, []any{}, "not found"},
		{"404", 404, nil, "not found"},
		{"two", 200, []any{one(map[string]any{"groups": []any{"a"}}), one(map[string]any{"groups": []any{"b"}})}, "ambiguous"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			book.says(tc.status, tc.answer)
			g.refusedAs(t, "groups_overage", "more groups than the sign-in service can list", tc.detail)
		})
	}
	t.Run("no object id", func(t *testing.T) {
		op.SetUser(entraUser(map[string]any{"groups": nil, "hasgroups": true, "oid": nil}))
		book.says(http.StatusOK, map[string]any{"groups": []any{"a"}})
		g.refusedAs(t, "groups_overage", "more groups than the sign-in service can list", "no oid")
		if q := book.questions(); len(q) > 0 {
			t.Errorf("asked %v", q)
		}
	})
}

// A directory that cannot be asked is nobody's fault and lets nobody in.
func TestB24OverageDirectoryDown(t *testing.T) {
	op, book := newEntra(t, tenantA), newPhonebook(t)
	op.SetUser(tooMany())
	g := overageGateway(t, op, book)
	down := func(n int) {
		t.Helper()
		b := newBrowser(t)
		p := g.open(b, g.url("/a"))
		want(t, p, http.StatusServiceUnavailable)
		if e := g.lastDenied("login_denied", n); e["reason"] != "directory_unavailable" || !p.Has(e["id"].(string)) || g.hasTicket(b) {
			t.Errorf("event %v, session %v", e, g.hasTicket(b))
		}
	}
	book.says(http.StatusInternalServerError, nil)
	down(1)
	book.says(http.StatusOK, map[string]any{"oid": "somebody-else", "groups": []any{"a"}})
	down(2)
	book.Close()
	down(3)
}

// Each renewal asks anew: changed groups are there, and who is not known any more
// is out. While the directory is down a session keeps the groups it has, as with a
// provider that is down (I16).
func TestB24OverageDirectoryRenewed(t *testing.T) {
	clock := newClock(t)
	op, book := newEntra(t, tenantA), newPhonebook(t)
	op.SetClock(clock.Now)
	op.SetUser(tooMany())
	g := overageGateway(t, op, book, "scopes openid profile offline_access")
	knows := func(groups ...string) {
		book.says(http.StatusOK, map[string]any{"oid": objectID, "groups": groups})
	}
	b := newBrowser(t)
	sees := func(groups string) {
		t.Helper()
		p := g.open(b, g.url("/a"))
		if got := header(p.Body, "X-Groups"); p.Status != http.StatusOK || !slices.Equal(got, []string{groups}) {
			t.Fatalf("%d at %s: X-Groups %q, want %s", p.Status, p.URL, got, groups)
		}
	}
	knows("one", "two")
	sees("one,two")
	clock.Advance(6 * time.Minute)
	knows("two", "three")
	sees("two,three")
	if q := book.questions(); len(q) != 1 {
		t.Errorf("asked %v", q)
	}
	clock.Advance(6 * time.Minute)
	book.says(http.StatusServiceUnavailable, nil)
	sees("two,three")
	if q := book.questions(); len(q) == 0 {
		t.Error("the renewal did not ask")
	}
	clock.Advance(6 * time.Minute)
	book.says(http.StatusNotFound, nil)
	if p := g.open(b, g.url("/a")); p.Status == http.StatusOK && p.Path() == "/a" {
		t.Errorf("%d at %s", p.Status, p.URL)
	}
	if e := g.events("session_ended", 1)[0]; e["reason"] != "groups_overage" {
		t.Errorf("event %v", e)
	}
}

// A directory that means something else restarts a login under way (I28).
func TestI28OverageDirectoryChangedInMidLogin(t *testing.T) {
	op, book := newOP(t), newPhonebook(t)
	flow := asked(t, "corp", op, "groups_overage hr") + "flow default {\nlogin corp\n}\n"
	g := start(t, flow+book.directory("hr"), whoSite)
	b, before := newBrowser(t), op.Counts()
	back := g.answer(g.away(b, "/a"))
	if err := g.load(flow+strings.Replace(book.directory("hr"), "/people", "/others", 1), whoSite); err != nil {
		t.Fatal(err)
	}
	b.Close()
	landed(t, g.open(b, back.String()), "/a", "corp:u-alice")
	if now := op.Counts(); now.Authorize != before.Authorize+2 {
		t.Errorf("asked %d times", now.Authorize-before.Authorize)
	}
}
