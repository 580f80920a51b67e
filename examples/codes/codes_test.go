//go:build real

package codes_test

import (
	_ "embed"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/bcrypt"

	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
)

//go:embed Caddyfile
var caddyfile string

var (
	sixDigits = regexp.MustCompile(`^\d{6}\b`)
	manualKey = regexp.MustCompile(`<code>([A-Z2-7 ]{32,})</code>`)
)

func start(t *testing.T) (*parts.GatewayProcess, *parts.SMTPSink) {
	t.Helper()
	sink := parts.SMTP(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("mariapw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	g := parts.Gateway(t, caddyfile, "APP="+parts.Echo(t), "MARIA_HASH="+string(hash), "SMTP_SERVER="+sink.Server, "SMTP_PASSWORD="+sink.Password,
		"SMTP_CA="+sink.CA, "SMS_URL="+sink.SMS, "SMS_TOKEN="+sink.Token)
	return g, sink
}

// codeOf is the code in a message, which begins with it.
func codeOf(t *testing.T, m parts.Sunk) string {
	t.Helper()
	code := sixDigits.FindString(m.Text)
	if code == "" {
		t.Fatalf("no code in %q", m.Text)
	}
	return code
}

func byMail(m parts.Sunk) bool { return !m.SMS && strings.HasPrefix(m.Subject, "Your code") }

func bySMS(m parts.Sunk) bool { return m.SMS }

func password(t *testing.T, g *parts.GatewayProcess, path string) (*parts.TestBrowser, *parts.TestPage) {
	t.Helper()
	b := parts.Browser(t)
	return b, b.Open(g.URL+path).Want(http.StatusOK, "username").Fill("username", "maria", "password", "mariapw")
}

func TestCodesWalk(t *testing.T) {
	t.Parallel()
	g, sink := start(t)
	_, p := password(t, g, "/reports")
	p.Want(http.StatusOK, "m•••@example.com").Without("maria@example.com")
	m := sink.Await(t, 1, byMail)
	if !m.TLS || m.User != "gateway" || m.From != "noreply@example.com" || !slices.Equal(m.To, []string{"maria@example.com"}) {
		t.Errorf("the letter came as %+v", m)
	}
	code := codeOf(t, m)
	wrong := "000000"
	if code == wrong {
		wrong = "111111"
	}
	p.Fill("code", wrong).Want(http.StatusUnauthorized).Fill("code", code).Want(http.StatusOK, "GET /reports", "Sm_user: maria")

	_, p = password(t, g, "/reports")
	p = p.Fill("factor", "sms").Want(http.StatusOK, "•••01")
	m = sink.Await(t, 1, bySMS)
	if !slices.Equal(m.To, []string{"+41790000001"}) || len(m.Text) > 160 {
		t.Errorf("the text message: %+v", m)
	}
	p.Fill("code", codeOf(t, m)).Want(http.StatusOK, "Sm_user: maria")
	if out := g.Output(); strings.Contains(out, code) || strings.Contains(out, codeOf(t, m)) || strings.Contains(out, sink.Password) || strings.Contains(out, sink.Token) {
		t.Error("the log holds a code or a secret")
	}
}

// The first app is set up behind a code, and the person is told of it.
func TestFirstAppBehindACode(t *testing.T) {
	t.Parallel()
	g, sink := start(t)
	b, p := password(t, g, "/payments/7")
	p.Want(http.StatusOK, "m•••@example.com", "show that it is you")
	if manualKey.MatchString(p.Body) {
		t.Fatal("a key is shown before the proof")
	}
	p = p.Fill("code", codeOf(t, sink.Await(t, 1, byMail))).Want(http.StatusOK)
	key := manualKey.FindStringSubmatch(p.Body)
	if key == nil {
		t.Fatalf("no key to set up:\n%s", p.Text())
	}
	app, err := totp.GenerateCode(strings.ReplaceAll(key[1], " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p = p.Fill("code", app).Want(http.StatusOK, "recovery codes")
	p.Fill("serial", p.Forms()[0].Fields.Get("serial")).Want(http.StatusOK, "GET /payments/7", "Sm_user: maria")
	for _, what := range []string{"Authenticator app: ", "Recovery codes: "} { // in whatever order they came
		told := sink.Await(t, 1, func(m parts.Sunk) bool { return strings.HasPrefix(m.Text, what) })
		if !strings.HasPrefix(told.Subject, "A second factor was added") || !slices.Equal(told.To, []string{"maria@example.com"}) {
			t.Errorf("maria is told %+v", told)
		}
	}
	b.Open(g.URL+"/payments/8").Want(http.StatusOK, "GET /payments/8")
}

// A mail server that is away is told, and the other way works.
func TestMailServerIsAway(t *testing.T) {
	t.Parallel()
	g, sink := start(t)
	sink.Stop()
	_, p := password(t, g, "/reports")
	p.Want(http.StatusOK, "could not be sent", "Have a code sent to your phone")
}
