package examples_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/examples/bank"
	"github.com/sallyport-gateway/sallyport/examples/browser"
	"github.com/sallyport-gateway/sallyport/examples/internal/parts"
	"github.com/sallyport-gateway/sallyport/module"
)

// teller is the bank behind its gateway, with a clock that the test turns.
type teller struct {
	*walk
	bank  *bank.Bank
	ahead atomic.Int64
}

func openBank(t *testing.T) *teller {
	t.Helper()
	b := &teller{bank: bank.New()}
	app := httptest.NewServer(b.bank)
	t.Cleanup(app.Close)
	module.SetClock(b.now)
	t.Cleanup(func() { module.SetClock(nil) })
	b.walk = start(t, "bank", "APP="+strings.TrimPrefix(app.URL, "http://"))
	b.op.SetClock(b.now)
	return b
}

func (b *teller) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

func (b *teller) pass(d time.Duration) { b.ahead.Add(int64(d)) }

// post sends a form of a page, as its button does.
func post(b *parts.TestBrowser, from *parts.TestPage, address, body string) *parts.TestPage {
	return b.Navigate(browser.Request{
		Method: http.MethodPost, URL: address, From: from.Page, Body: body,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
}

// TestBankKeepsALetter: a letter of 200 KB, written for half an hour, arrives byte by
// byte and once, though the session had ended meanwhile.
func TestBankKeepsALetter(t *testing.T) {
	b := openBank(t)
	c := parts.Browser(t)
	page := c.Open(b.URL+"/letter").Want(http.StatusOK, "Write to us", "mkunz")
	b.pass(31 * time.Minute)
	letter := url.Values{"text": {strings.Repeat("Dear bank, I am — not — amused. €\r\n", 6000)}}.Encode()[:200_000]
	p := post(c, page, b.URL+"/letter", letter).Want(http.StatusOK, "being sent")
	if len(b.bank.Letters()) != 0 {
		t.Fatal("the letter was passed on before its page was there")
	}
	again := p.URL
	p.Fill("identity_held", p.Forms()[0].Fields.Get("identity_held")).Want(http.StatusOK, "Thank you", "200000 bytes")
	sum := sha256.Sum256([]byte(letter))
	want := bank.Letter{From: "mkunz", Sum: hex.EncodeToString(sum[:]), Bytes: len(letter)}
	if got := b.bank.Letters(); len(got) != 1 || got[0] != want {
		t.Fatalf("letters: %+v", got)
	}
	c.Open(again).Want(http.StatusConflict, "not sent a second time")
	if len(b.bank.Letters()) != 1 {
		t.Fatal("a reload sent it twice")
	}
}

// holder is a customer with an authenticator app.
type holder struct {
	*parts.TestBrowser
	*teller
	secret string
}

var manualKey = regexp.MustCompile(`<code>([A-Z2-7 ]{32,})</code>`)

// enrolled signs a customer in whose provider vouches for a second factor, so that they
// may set one up; afterwards the provider says what it says every day.
func (b *teller) enrolled() *holder {
	b.t.Helper()
	h := &holder{teller: b}
	b.as(map[string]any{"amr": []string{"pwd", "mfa"}})
	p := parts.Browser(b.t).Open(b.URL+"/security").Want(http.StatusOK, "authenticator app", "passkey")
	p = p.Fill("factor", "totp").Want(http.StatusOK, "authenticator app")
	key := manualKey.FindStringSubmatch(p.Body)
	if key == nil {
		b.t.Fatalf("no key to type in: %s", p.Text())
	}
	h.secret = strings.ReplaceAll(key[1], " ", "")
	p = p.Fill("code", h.code()).Want(http.StatusOK, "recovery codes")
	p.Fill("serial", p.Forms()[0].Fields.Get("serial")).Want(http.StatusOK, "second factor is set up")
	b.as(nil)
	return h.elsewhere()
}

// elsewhere is another browser of the same customer.
func (h *holder) elsewhere() *holder {
	h.t.Helper()
	h.pass(time.Minute)
	other := &holder{TestBrowser: parts.Browser(h.t), teller: h.teller, secret: h.secret}
	other.Open(h.URL+"/").Want(http.StatusOK, "Your account", "mkunz")
	return other
}

// code is the app's newest, of a time that no code was of.
func (h *holder) code() string {
	h.t.Helper()
	h.pass(31 * time.Second)
	code, err := totp.GenerateCode(h.secret, h.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return code
}

// sends fills in the form of the bank.
func (h *holder) sends(body string) *parts.TestPage {
	h.t.Helper()
	return post(h.TestBrowser, h.Open(h.URL+"/transfer"), h.URL+"/transfer", body)
}

// passedOn presses the button of the page that sends what was kept.
func passedOn(p *parts.TestPage) *parts.TestPage {
	return p.Want(http.StatusOK, "being sent").Fill("identity_held", p.Forms()[0].Fields.Get("identity_held"))
}

// made wants these payees, in this order, to have been paid, and nobody else.
func (b *teller) made(payees ...string) {
	b.t.Helper()
	var got []string
	for _, t := range b.bank.Transfers() {
		got = append(got, t.Payee)
	}
	if !slices.Equal(got, payees) {
		b.t.Fatalf("the bank paid %v, want %v", b.bank.Transfers(), payees)
	}
}

// TestBankTwoTransfersTwoApprovals: each transfer asks for a code of its own, on a page
// that says what it is for; a small one asks for none.
func TestBankTwoTransfersTwoApprovals(t *testing.T) {
	b := openBank(t)
	h := b.enrolled()
	h.sends("payee=kiosk&amount=9.50&note=").Want(http.StatusOK, "on its way")
	b.made("kiosk")
	for i, payee := range []string{"landlord", "garage"} {
		p := h.sends("payee="+payee+"&amount=950.00&note=x").Want(http.StatusOK, "950.00", payee)
		if len(b.bank.Transfers()) != i+1 {
			t.Fatal("the money left before anybody approved")
		}
		passedOn(p.Fill("code", h.code())).Want(http.StatusOK, "on its way")
	}
	b.made("kiosk", "landlord", "garage")
	h.sends("payee=garage&amount=950.00&note=x").Want(http.StatusOK, "950.00") // the very same once more asks once more
	b.made("kiosk", "landlord", "garage")
}

// TestBankATransferMeetsAnExpiredSession: the same form waits for the login, then for
// its approval, and arrives once.
func TestBankATransferMeetsAnExpiredSession(t *testing.T) {
	b := openBank(t)
	h := b.enrolled()
	page := h.Open(h.URL + "/transfer")
	b.pass(31 * time.Minute)
	p := passedOn(post(h.TestBrowser, page, h.URL+"/transfer", "payee=landlord&amount=950.00"))
	p = passedOn(p.Want(http.StatusOK, "950.00", "landlord").Fill("code", h.code()))
	p.Want(http.StatusOK, "on its way")
	b.made("landlord")
}

// fetch is what the new app's script sends; ask is what it hears where it may not yet.
func (h *holder) fetch(body string, header ...string) (p *parts.TestPage, ask map[string]any) {
	h.t.Helper()
	from := h.Open(h.URL + "/app")
	head := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		head.Set(header[i], header[i+1])
	}
	p = h.Send(browser.Request{Method: http.MethodPost, URL: h.URL + "/api/transfer", Body: body, Header: head, From: from.Page, Script: true})
	if p.Status != http.StatusOK {
		if err := json.Unmarshal([]byte(p.Body), &ask); err != nil {
			h.t.Fatalf("%d %s", p.Status, p.Body)
		}
	}
	return p, ask
}

// TestBankTheNewApp: a script is told where its person approves, and sends the very
// same bytes again: once.
func TestBankTheNewApp(t *testing.T) {
	b := openBank(t)
	h := b.enrolled()
	const body = `{"payee":"landlord","amount":"950.00"}`
	id := h.approved(body)
	other := h.elsewhere() // the same customer, with what a thief could carry over
	if p, _ := other.fetch(body, "Sallyport-Approval", id); p.Status == http.StatusOK {
		t.Fatal("an approval was good in another browser")
	}
	b.made()
	if p, _ := h.fetch(body, "Sallyport-Approval", id); p.Status != http.StatusOK {
		t.Fatalf("what was approved: %d %s", p.Status, p.Body)
	}
	if p, _ := h.fetch(body, "Sallyport-Approval", id); p.Status == http.StatusOK {
		t.Fatal("an approval was good twice")
	}
	b.made("landlord")

	id = h.approved(body)
	if p, ask := h.fetch(`{"payee":"mallory","amount":"950.00"}`, "Sallyport-Approval", id); p.Status != http.StatusUnauthorized || ask["reason"] != "request_changed" {
		t.Fatalf("another body: %d %s", p.Status, p.Body)
	}
	b.made("landlord")
}

// approved sends what needs an approval, and gives it; the answer is its id.
func (h *holder) approved(body string) string {
	h.t.Helper()
	p, ask := h.fetch(body)
	if p.Status != http.StatusUnauthorized || ask["error"] != "step_up_required" {
		h.t.Fatalf("%d %s", p.Status, p.Body)
	}
	id := ask["approval"].(string)
	if p, _ := h.fetch(body, "Sallyport-Approval", id); p.Status != http.StatusUnauthorized {
		h.t.Fatalf("sent before it was approved: %d %s", p.Status, p.Body)
	}
	page := h.Open(h.URL+ask["step_up_url"].(string)).Want(http.StatusOK, "950.00", "landlord")
	page.Fill("code", h.code())
	h.Fetch(h.URL+ask["approval_url"].(string)).Want(http.StatusOK, `"approved"`)
	return id
}

// TestBankIsNotFooled: what the bank would read in another way than its customer does.
func TestBankIsNotFooled(t *testing.T) {
	b := openBank(t)
	h := b.enrolled()
	for what, body := range map[string]string{
		"a field twice":            "payee=mallory&payee=aunt&amount=950.00",
		"an amount twice":          "amount=9.50&payee=aunt&amount=950.00",
		"another spelling":         "payee=aunt&amount=950.00&Amount=9.50",
		"a method in a field":      "payee=aunt&amount=950.00&_method=put",
		"no payee":                 "amount=950.00",
		"a name that turns around": "payee=%E2%80%AEtnua&amount=950.00",
	} {
		if p := h.sends(body); p.Status != http.StatusForbidden {
			t.Errorf("%s: %d at %s", what, p.Status, p.URL)
		}
	}
	for what, body := range map[string]string{
		"a key twice":       `{"payee":"aunt","payee":"mallory","amount":"950.00"}`,
		"a key in two ways": `{"payee":"aunt","PAYEE":"mallory","amount":"950.00"}`,
		"in another case":   `{"Payee":"mallory","amount":"950.00"}`,
		"something behind":  `{"payee":"aunt","amount":"1.00"}{"payee":"mallory"}`,
	} {
		if p, ask := h.fetch(body); p.Status != http.StatusForbidden || ask["reason"] != "unclear_fields" {
			t.Errorf("%s: %d %s", what, p.Status, p.Body)
		}
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-Method-Override"} {
		if p, _ := h.fetch(`{"payee":"aunt","amount":"950.00"}`, name, "POST"); p.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, p.Status, p.Body)
		}
	}
	b.made()
}
