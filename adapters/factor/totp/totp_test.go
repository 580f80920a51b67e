package totp

import (
	"errors"
	"strings"
	"testing"
	"time"

	otptotp "github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func qr(p flows.Page) (q flows.QR) {
	for _, w := range p.Widgets {
		if w, ok := w.(flows.QR); ok {
			q = w
		}
	}
	return q
}

func answer(code string) flows.Input { return flows.Input{Values: map[string][]string{"code": {code}}} }

// app is what an authenticator app would show.
func app(t testing.TB, enrolment flows.Page, now time.Time) string {
	code, err := otptotp.GenerateCode(strings.ReplaceAll(qr(enrolment).Manual, " ", ""), now)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestFactor(t *testing.T) {
	flowstest.TestFactor(t, flowstest.FactorCase{
		Factor: new(TOTP),
		Right: func(enrolment, _ flows.Page, c *flows.Challenge) flows.Input {
			return answer(app(t, enrolment, c.Now))
		},
		Wrong: answer("12345"),
		Next:  func(c *flows.Challenge) { c.Now = c.Now.Add(period * time.Second) },
	})
}

// The appendix of RFC 6238 holds for the shared secret "12345678901234567890" (its codes cut to six digits).
func TestRFC6238Vectors(t *testing.T) {
	const key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for at, code := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"} {
		if step, ok, err := match(key, code, time.Unix(at, 0)); err != nil || !ok || step != at/period {
			t.Errorf("%d: %s: step %d, %v, %v", at, code, step, ok, err)
		}
	}
}

func TestClockMayBeOneStepOff(t *testing.T) {
	const key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	now := time.Unix(1111111111, 0)
	for off, want := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		code, err := otptotp.GenerateCode(key, now.Add(time.Duration(off)*period*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := match(key, code, now); ok != want {
			t.Errorf("a clock %d steps off: %v, want %v", off, ok, want)
		}
	}
}

func TestTheAppSeesIssuerAndName(t *testing.T) {
	c := &flows.Challenge{User: &flows.User{Name: "alice:x"}, Origin: "https://app.example:8443", Now: flowstest.Start}
	if err := new(TOTP).BeginEnrol(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if url := qr(new(TOTP).DrawEnrol(c)).Text; !strings.HasPrefix(url, "otpauth://totp/app.example:alice.x?") {
		t.Errorf("the app gets %s", url)
	}
	if err := (&TOTP{Issuer: "a:b"}).Validate(); err == nil {
		t.Error("an issuer with a colon was accepted")
	}
}

func TestNothingOfferedIsNothingEnrolled(t *testing.T) {
	_, _, err := new(TOTP).Enrol(t.Context(), &flows.Challenge{Now: flowstest.Start, State: []byte(`{}`)}, answer("000000"))
	if err == nil || errors.Is(err, flows.ErrCredentials) {
		t.Errorf("want an error of our own, got %v", err)
	}
}
