package examples_test

import (
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

// walks are the examples that need nothing but Go, most of them where people come
// from an old system. Each starts from its folder's Caddyfile.
var walks = map[string]func(*testing.T){
	"from-siteminder":       fromSiteMinder,
	"from-oam":              fromOAM,
	"from-webseal":          fromWebSEAL,
	"from-oauth2-proxy":     fromOAuth2Proxy,
	"from-mod-auth-openidc": fromModAuthOpenIDC,
	"assertion":             TestAssertionExample,
	"contractor":            TestContractorExample,
	"bank":                  TestBankKeepsALetter,
	"workforce":             TestWorkforceExample,
	"risk":                  TestRiskExample,
}

// TestComingFrom: whoever did what the README's table says has the same
// headers, the same rules and the same logout address as before.
func TestComingFrom(t *testing.T) {
	for folder, walk := range walks {
		if name, ok := strings.CutPrefix(folder, "from-"); ok {
			t.Run(name, walk)
		}
	}
}

func prefix(p string) func(string) bool {
	return func(name string) bool { return strings.HasPrefix(name, p) }
}

func fromSiteMinder(t *testing.T) {
	w := start(t, "from-siteminder")
	mine := func(n string) bool { return strings.HasPrefix(n, "SM") || n == "EMPLOYEEID" }
	b := parts.Browser(t)
	b.Fetch(w.URL+"/payroll/").Want(http.StatusUnauthorized, "login_required")
	w.sees(b.Open(w.URL+"/payroll/report?id=7").Want(http.StatusOK, "GET /payroll/report?id=7"), mine, map[string]string{
		"SM_USER": "mkunz", "SM_USERDN": "uid=mkunz,ou=People,o=example", "SM_UNIVERSALID": "00427",
		"SM_USERGROUPS": "payroll^staff", "SM_AUTHTYPE": "oidc", "SM_AUTHDIRNAME": "company", "SM_SERVERSESSIONID": "*",
		"SM_TIMETOEXPIRE": "*", "SM_TRANSACTIONID": "*", "EMPLOYEEID": "00427",
	})
	w.forged(b, "/payroll/", "SM_USER", "SM_USERDN", "SM_ANYTHING", "SMUSER", "EMPLOYEEID")
	stranger := parts.Browser(t)
	w.forged(stranger, "/img/logo.gif", "SM_USER", "SMUSER", "EMPLOYEEID") // what IgnoreExt let through
	w.sees(stranger.Send(browser.Request{URL: w.URL + "/img/logo.gif"}), mine, map[string]string{})
	b.Open(w.URL+"/admin/").Want(http.StatusForbidden, "Administrators only.")
	w.as(map[string]any{"groups": []string{"sales"}})
	stranger.Open(w.URL+"/payroll/").Want(http.StatusForbidden, "You need the payroll role.")
	// LogOffUri: the application answers its own address, then the session is over.
	w.endsAt(b, "/payroll/logout.jsp").Want(http.StatusOK, "GET /payroll/logout.jsp", "SM_USER: mkunz")
}

func fromOAM(t *testing.T) {
	w := start(t, "from-oam")
	mine := func(n string) bool {
		return strings.HasPrefix(n, "OAM") || n == "EMPLOYEE_ID" || n == "USER_GROUPS"
	}
	headers := map[string]string{"OAM_REMOTE_USER": "mkunz", "EMPLOYEE_ID": "00427", "USER_GROUPS": "payroll:staff"}
	b := parts.Browser(t)
	w.sees(b.Open(w.URL+"/payroll/"), mine, headers)
	w.sees(b.Open(w.URL+"/welcome/"), mine, headers)
	w.forged(b, "/payroll/", "OAM_REMOTE_USER", "OAM_ANYTHING", "EMPLOYEE_ID", "USER_GROUPS")
	stranger := parts.Browser(t)
	w.sees(stranger.Open(w.URL+"/welcome/"), mine, map[string]string{}) // what was "unprotected"
	w.forged(stranger, "/images/logo.gif", "OAM_REMOTE_USER", "EMPLOYEE_ID")
	w.as(map[string]any{"groups": []string{"sales"}})
	stranger.Open(w.URL+"/payroll/").Want(http.StatusForbidden, "You need the payroll role.")
	w.endsAt(b, "/payroll/signout.jsp").Want(http.StatusOK, "GET /payroll/signout.jsp", "OAM_REMOTE_USER: mkunz")
	for _, address := range []string{"/oamsso/logout.html?end_url=%2Fbye", "/oam/server/logout"} {
		w.as(nil)
		again := parts.Browser(t)
		again.Open(w.URL+"/payroll/").Want(http.StatusOK, "OAM_REMOTE_USER: mkunz")
		w.endsAt(again, address).Want(http.StatusOK, "signed out")
	}
}

func fromWebSEAL(t *testing.T) {
	told := make(chan string, 10)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- r.Method + " " + r.URL.RequestURI() + " " + string(body)
	}))
	t.Cleanup(app.Close)
	w := start(t, "from-webseal", "PORTAL="+rawEcho(t), "SIGNOFF="+app.URL+"/management/logoff")
	mine := func(n string) bool { return strings.HasPrefix(n, "IV") || n == "X_EMPLOYEE" }
	b := parts.Browser(t)
	w.sees(b.Open(w.URL+"/payroll/report").Want(http.StatusOK, "GET /report\n"), mine, map[string]string{
		"iv-user": "mkunz", "iv-user-l": "uid=mkunz,ou=People,o=example", "iv-groups": `"payroll","staff"`, "X-Employee": "00427",
	})
	b.Send(browser.Request{URL: w.URL + "/", Header: http.Header{"Authorization": {"Basic bWFsbG9yeTp4"}}}).
		Want(http.StatusOK, "iv-user: mkunz").Without("Authorization")
	w.forged(b, "/", "iv-user", "iv-user-l", "iv-groups", "iv-creds", "X-Employee")
	stranger := parts.Browser(t)
	w.sees(stranger.Open(w.URL+"/public/"), mine, map[string]string{"iv-user": "Unauthenticated"})
	w.forged(stranger, "/public/", "iv-user", "iv-groups", "iv-creds", "X-Employee")
	w.as(map[string]any{"groups": []string{"sales"}})
	stranger.Open(w.URL+"/payroll/").Want(http.StatusForbidden, "You need the payroll role.")
	w.endsAt(b, "/pkmslogout").Want(http.StatusOK, "signed out")
	select {
	case call := <-told:
		if !strings.HasPrefix(call, "POST /management/logoff {") || !strings.Contains(call, `"user":"mkunz"`) {
			t.Errorf("the application was told %q", call)
		}
	case <-time.After(20 * time.Second):
		t.Error("the application was not told of the logout")
	}
}

func fromOAuth2Proxy(t *testing.T) {
	w := start(t, "from-oauth2-proxy", "API="+rawEcho(t))
	mine := func(n string) bool {
		return strings.HasPrefix(n, "X_FORWARDED_") && n != "X_FORWARDED_FOR" && n != "X_FORWARDED_HOST" && n != "X_FORWARDED_PROTO"
	}
	headers := map[string]string{
		"X-Forwarded-User": "u-4711", "X-Forwarded-Preferred-Username": "mkunz",
		"X-Forwarded-Email": "mara@example.com", "X-Forwarded-Groups": "payroll,staff",
	}
	b := parts.Browser(t)
	w.sees(b.Open(w.URL+"/").Want(http.StatusOK), mine, headers)
	w.sees(b.Fetch(w.URL+"/api/items"), mine, headers)
	w.forged(b, "/", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username")
	stranger := parts.Browser(t)
	w.forged(stranger, "/static/app.css", "X-Forwarded-User", "X-Forwarded-Email")
	stranger.Fetch(w.URL+"/metrics").Want(http.StatusOK, "GET /metrics")
	stranger.Send(browser.Request{Method: http.MethodPost, URL: w.URL + "/metrics", Script: true}).Want(http.StatusUnauthorized, "login_required")
	for _, who := range []struct {
		claims map[string]any
		text   string
	}{
		{map[string]any{"email": "mara@example.com.evil.example"}, "Only people of example.com."},
		{map[string]any{"email_verified": false}, "Only people of example.com."},
		{map[string]any{"groups": []string{"sales"}}, "Only payroll and operations."},
	} {
		w.as(who.claims)
		parts.Browser(t).Open(w.URL+"/").Want(http.StatusForbidden, who.text)
	}
	w.endsAt(b, "/oauth2/sign_out").Want(http.StatusOK, "signed out")
}

func fromModAuthOpenIDC(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"wiki/index.php"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte("<?php // the FastCGI server is the test's\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, "from-mod-auth-openidc", "ROOT="+root, "PHP="+fastCGI(t), "ISSUER_NAME=login.example.com")
	b := parts.Browser(t)
	w.sees(b.Open(w.URL+"/app/"), prefix("OIDC_"), map[string]string{
		"OIDC_CLAIM_sub": "u-4711", "OIDC_CLAIM_preferred_username": "mkunz", "OIDC_CLAIM_email": "mara@example.com",
		"OIDC_CLAIM_groups": "payroll,staff", "OIDC_CLAIM_name": "Mara K\xfcnz",
	})
	w.forged(b, "/app/", "OIDC_CLAIM_sub", "OIDC_CLAIM_email", "OIDC_CLAIM_groups")
	// The environment of an application in PHP, which no header can reach.
	w.forged(b, "/wiki/index.php", "OIDC_CLAIM_email", "REMOTE_USER", "Remote-User")
	b.Open(w.URL+"/wiki/index.php").Want(http.StatusOK, "REMOTE_USER=u-4711@login.example.com\n",
		"OIDC_CLAIM_email=mara@example.com\n", "OIDC_CLAIM_preferred_username=mkunz\n")

	b.Open(w.URL+"/reports/").Want(http.StatusOK, "GET /reports/")
	b.Open(w.URL + "/admin/").Want(http.StatusForbidden)
	stranger := parts.Browser(t)
	w.forged(stranger, "/public/a", "OIDC_CLAIM_sub", "OIDC_CLAIM_email")
	w.endsAt(b, "/oidc/redirect_uri?logout=https%3A%2F%2Fwww.example.com%2Fbye").Want(http.StatusOK, "signed out")
}

// fastCGI is an application behind FastCGI: its page is its environment.
func fastCGI(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		_ = fcgi.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			lines := []string{r.Method + " " + r.URL.RequestURI()}
			for name, value := range fcgi.ProcessEnv(r) {
				lines = append(lines, name+"="+value)
			}
			for name, values := range r.Header {
				lines = append(lines, "HTTP "+name+"="+strings.Join(values, "|"))
			}
			_, _ = rw.Write([]byte(strings.Join(lines, "\n") + "\n"))
		}))
	}()
	return l.Addr().String()
}
