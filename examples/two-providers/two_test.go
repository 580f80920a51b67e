//go:build real

package twoproviders

import (
	_ "embed"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

type merger struct {
	g            *parts.GatewayProcess
	north, south *parts.OIDCProvider
}

func start(t *testing.T) merger {
	t.Helper()
	port := parts.Port(t)
	callback := "http://" + parts.Addr(port) + "/.identity/callback/"
	m := merger{north: parts.OIDC(t, "north", callback+"north"), south: parts.OIDC(t, "south", callback+"south")}
	m.g = parts.GatewayAt(t, port, caddyfile, "APP="+parts.Echo(t),
		"NORTH_ISSUER="+m.north.Issuer, "NORTH_ID="+m.north.Client, "NORTH_SECRET="+m.north.Secret,
		"SOUTH_ISSUER="+m.south.Issuer, "SOUTH_ID="+m.south.Client, "SOUTH_SECRET="+m.south.Secret)
	return m
}

// choose presses the button of a provider on the chooser.
func choose(t *testing.T, b *parts.TestBrowser, p *parts.TestPage, name string) *parts.TestPage {
	t.Helper()
	for _, f := range p.Forms() {
		for _, button := range f.Buttons {
			if button.Value == name {
				f.Fields.Set(button.Name, button.Value)
				next, err := f.Submit()
				if err != nil {
					t.Fatal(err)
				}
				return b.Page(next)
			}
		}
	}
	t.Fatalf("no button for %s at %s:\n%s", name, p.URL, p.Body)
	return nil
}

func TestB01TwoProvidersAtOnce(t *testing.T) {
	t.Parallel()
	m := start(t)
	issuers := map[string]string{"north": m.north.Issuer, "south": m.south.Issuer}
	for name, who := range map[string]string{"north": "alice", "south": "bob"} {
		b := parts.Browser(t)
		p := choose(t, b, b.Open(m.g.URL+"/page?x=1").Want(http.StatusOK, "north", "south"), name)
		if !strings.HasPrefix(p.URL, issuers[name]+"/sign-in/") {
			t.Fatalf("%s led to %s", name, p.URL)
		}
		p.Fill("username", who, "password", who+"pw").
			Want(http.StatusOK, "GET /page?x=1", "X-Forwarded-User: "+who, "X-User-Key: "+name+":"+who)

		m.straight(t, issuers, name, who).Want(http.StatusOK, "GET /straight", "X-User-Key: "+name+":"+who)
	}
	// Equal names at both are two people: the first one has the name (I06).
	for name, who := range map[string]string{"south": "alice", "north": "bob"} {
		m.straight(t, issuers, name, who).Want(http.StatusForbidden, "already belongs to somebody else").Without("X-User-Key")
	}
}

// straight signs somebody in at a provider without the chooser.
func (m merger) straight(t *testing.T, issuers map[string]string, name, who string) *parts.TestPage {
	t.Helper()
	p := parts.Browser(t).Open(m.g.URL + "/.identity/login?provider=" + name + "&return_to=" + url.QueryEscape("/straight"))
	if !strings.HasPrefix(p.URL, issuers[name]+"/sign-in/") {
		t.Fatalf("?provider=%s led to %s", name, p.URL)
	}
	return p.Fill("username", who, "password", who+"pw")
}

// TestB01CodeOfOneAtTheCallbackOfTheOther: nobody gets a session, and the trail
// has the reason.
func TestB01CodeOfOneAtTheCallbackOfTheOther(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := parts.Browser(t)
	p := choose(t, b, b.Open(m.g.URL+"/").Want(http.StatusOK), "north")
	callback := intercept(t, p, m.g.URL+"/.identity/callback/north")

	wrong := strings.Replace(callback, "/callback/north?", "/callback/south?", 1)
	refused := b.Navigate(browser.Request{Method: http.MethodGet, URL: wrong})
	if refused.Status != http.StatusBadRequest {
		t.Errorf("%s: %d, want 400: %s", wrong, refused.Status, refused.Text())
	}
	b.Fetch(m.g.URL+"/").Want(http.StatusUnauthorized, "login_required")
	m.g.AwaitLog(t, "provider_mismatch")
	// Another browser has no use for it either.
	stranger := parts.Browser(t)
	stranger.Navigate(browser.Request{Method: http.MethodGet, URL: callback}).Without("X-Forwarded-User: alice")
	stranger.Fetch(m.g.URL+"/").Want(http.StatusUnauthorized, "login_required")
}

// intercept signs alice in at the provider and catches the callback before it
// is followed.
func intercept(t *testing.T, p *parts.TestPage, prefix string) string {
	t.Helper()
	f, err := p.FormWith("username")
	if err != nil {
		t.Fatal(err)
	}
	f.Fields.Set("username", "alice")
	f.Fields.Set("password", "alicepw")
	next := browser.Request{
		Method: http.MethodPost, URL: f.Action, From: p.Page, Body: f.Fields.Encode(),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
	for range browser.MaxHops {
		answer, err := p.Browser.Send(next)
		if err != nil {
			t.Fatal(err)
		}
		to, err := answer.Resolve(answer.Header.Get("Location"))
		if err != nil || answer.Status/100 != 3 {
			t.Fatalf("%d at %s", answer.Status, answer.URL)
		}
		if strings.HasPrefix(to, prefix+"?") {
			return to
		}
		next = browser.Request{Method: http.MethodGet, URL: to, From: p.Page}
	}
	t.Fatal("no callback came")
	return ""
}

func TestB19OneProviderDownStopsNeitherStartNorTheOther(t *testing.T) {
	t.Parallel()
	port, silent := parts.Port(t), parts.Port(t)
	callback := "http://" + parts.Addr(port) + "/.identity/callback/"
	south := parts.OIDC(t, "south", callback+"south")
	g := parts.GatewayAt(t, port, caddyfile, "APP="+parts.Echo(t),
		"NORTH_ISSUER=http://"+parts.Addr(silent), "NORTH_ID=gw", "NORTH_SECRET=gw-secret",
		"SOUTH_ISSUER="+south.Issuer, "SOUTH_ID="+south.Client, "SOUTH_SECRET="+south.Secret)

	b := parts.Browser(t)
	down := choose(t, b, b.Open(g.URL+"/").Want(http.StatusOK), "north")
	if !down.Has("cannot be reached") || down.Status >= http.StatusInternalServerError && down.Status != http.StatusServiceUnavailable {
		t.Errorf("a provider that is down: %d %s", down.Status, down.Text())
	}
	b = parts.Browser(t)
	choose(t, b, b.Open(g.URL+"/").Want(http.StatusOK), "south").Fill("username", "bob", "password", "bobpw").
		Want(http.StatusOK, "X-User-Key: south:bob")

	// It comes up later, and nobody has to restart anything.
	parts.OIDCAt(t, silent, "north", callback+"north")
	parts.Await(t, "north serves logins", 75*time.Second, func() error {
		b := browser.New()
		defer b.Close()
		p, err := b.Open(g.URL + "/.identity/login?provider=north&return_to=%2F")
		if err != nil {
			return err
		}
		_, err = p.FormWith("password")
		return err
	})
}
