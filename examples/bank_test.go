package examples_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
