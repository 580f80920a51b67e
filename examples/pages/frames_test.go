//go:build real

package pages

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// withFrames is an application whose front page is public and shows, or asks
// ahead for, a page that is not.
const withFrames = `{
	identity {
		provider company oidc {
			issuer {$ISSUER}
			client_id {$CLIENT_ID}
			client_secret {env.CLIENT_SECRET}
		}
	}
}

{$SITE} {
	log
	protect {
		headers remote_user
		public /open/*
	}
	reverse_proxy {$APP}
}
`

func framed(t *testing.T) *parts.GatewayProcess {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/open/frame":
			_, _ = io.WriteString(w, `<!DOCTYPE html><title>front</title><iframe src="/inside?x=1" width="600" height="500"></iframe>`)
		case "/open/ahead":
			_, _ = io.WriteString(w, `<!DOCTYPE html><title>front</title><link rel="prefetch" href="/inside?by=link"><a id="in" href="/inside?by=rules">in</a>
<script type="speculationrules">{"prefetch":[{"source":"list","urls":["/inside?by=rules"],"eagerness":"immediate"}]}</script>`)
		default:
			fmt.Fprintf(w, "<pre>%s %s\nRemote-User: %s</pre>", r.Method, r.URL.RequestURI(), r.Header.Get("Remote-User"))
		}
	}))
	t.Cleanup(app.Close)
	port := parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	return parts.GatewayAt(t, port, withFrames, "APP="+strings.TrimPrefix(app.URL, "http://"),
		"ISSUER="+op.Issuer, "CLIENT_ID=gw", "CLIENT_SECRET=gw-secret")
}

// own are the gateway's cookies in the browser.
func own(w *parts.Window, g *parts.GatewayProcess) (names []string) {
	w.Run("the cookies", chromedp.ActionFunc(func(ctx context.Context) error {
		cookies, err := network.GetCookies().WithURLs([]string{g.URL + "/", g.URL + "/.identity/"}).Do(ctx)
		for _, c := range cookies {
			if strings.HasPrefix(c.Name, "sallyport") {
				names = append(names, c.Name)
			}
		}
		return err
	}))
	return names
}

// TestB04InAFrame: a frame shows a link, and the link opens the login in the
// whole window; in frames of our own origin and of another one.
func TestB04InAFrame(t *testing.T) {
	t.Parallel()
	g := framed(t)
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><title>foreign</title><iframe src="%s/inside?x=1" width="600" height="500"></iframe>`, g.URL)
	}))
	t.Cleanup(foreign.Close)
	for name, at := range map[string]string{
		"our own": g.URL + "/open/frame",
		// Another name of this machine is another site.
		"foreign": strings.Replace(foreign.URL, "127.0.0.1", "localhost", 1),
	} {
		t.Run(name, func(t *testing.T) {
			w := parts.Chromium(t)
			w.Run("the page with the frame", chromedp.Navigate(at), chromedp.WaitReady("iframe"))
			if names := own(w, g); len(names) != 0 {
				t.Errorf("the frame got cookies: %v", names)
			}
			w.Screenshot("frame-" + strings.ReplaceAll(name, " ", "-"))
			// By keyboard into the frame, since the link is the first thing in it.
			w.Run("the link in the frame", chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), asAlice, parts.See(echo))
			if got := w.Location(); got != g.URL+"/inside?x=1" {
				t.Errorf("the login ended at %s, want the frame's page in the whole window", got)
			}
			has(t, w, "Remote-User: alice")
		})
	}
}

// TestB04AskedAheadOfTime: what the browser fetches in case somebody clicks
// neither begins a login nor leaves a cookie, and the click works all the same.
func TestB04AskedAheadOfTime(t *testing.T) {
	t.Parallel()
	g := framed(t)
	w := parts.Chromium(t)
	w.Run("the page that prefetches", network.Enable(), chromedp.Navigate(g.URL+"/open/ahead"), chromedp.WaitReady("#in"))
	g.AwaitLog(t, "/inside?by=link")
	g.AwaitLog(t, "/inside?by=rules")
	if names := own(w, g); len(names) != 0 {
		t.Errorf("a prefetch got cookies: %v", names)
	}
	if strings.Contains(g.Logs(), "login begun") {
		t.Errorf("a prefetch began a login:\n%s", g.Logs())
	}
	w.Run("the click", parts.Click("#in"), asAlice, parts.See(echo))
	has(t, w, "GET /inside?by=rules", "Remote-User: alice")
}

// TestB07BookmarkedLoginPage: the page of a login of long ago begins a new one.
func TestB07BookmarkedLoginPage(t *testing.T) {
	t.Parallel()
	g, _ := single(t)
	w := parts.Chromium(t)
	w.Run("a bookmark", chromedp.Navigate(g.URL+"/.identity/flow?p=0000000000000000"), asAlice, parts.See(echo))
	arrived(t, w, g.URL+"/")
	w.Run("and back", chromedp.Navigate(g.URL+"/.identity/flow?p=0000000000000000"))
	arrived(t, w, g.URL+"/") // who is signed in is led home
}

// TestB08LoopInTheBrowser: the cookie domain is not that of the host, so the
// browser drops the session each time, while the provider says yes each time.
func TestB08LoopInTheBrowser(t *testing.T) {
	t.Parallel()
	port := parts.Port(t)
	op := parts.OIDC(t, "company", "http://"+parts.Addr(port)+"/.identity/callback/company")
	g := parts.GatewayAt(t, port, strings.Replace(oneProvider, "\tidentity {\n", "\tidentity {\n\t\tsession {\n\t\t\tdomain example.test\n\t\t}\n", 1),
		"APP="+parts.Echo(t), "ISSUER="+op.Issuer, "CLIENT_ID=gw", "CLIENT_SECRET=gw-secret")
	w := parts.Chromium(t)
	w.Run("signing in over and over", chromedp.Navigate(g.URL+"/app/#/r/42"), asAlice, parts.See("main.error"))
	has(t, w, "keeps starting over", "The host 127.0.0.1 is not below the cookie domain example.test.")
	w.Screenshot("loop")
	if n := strings.Count(g.Logs(), `"kind":"login",`); n != 4 {
		t.Errorf("stopped after %d logins, want 4", n)
	}
}
