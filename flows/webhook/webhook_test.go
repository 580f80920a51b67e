package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The vector of the Standard Webhooks specification's reference libraries.
func TestSign(t *testing.T) {
	t.Parallel()
	key, err := ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	body := []byte(`{"test": 2432232314}`)
	at := time.Unix(1614265330, 0)
	Keys{key, []byte("another secret of ours")}.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	got := strings.Fields(h.Get("webhook-signature"))
	if len(got) != 2 || got[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || got[0] == got[1] {
		t.Errorf("signed %s", got)
	}
	if err := (Keys{key}).Verify(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at.Add(4*time.Minute), body); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]func() error{
		"another id":   func() error { return Keys{key}.Verify(h, "msg_x", at, body) },
		"another body": func() error { return Keys{key}.Verify(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte("{}")) },
		"another key":  func() error { return Keys{[]byte("x")}.Verify(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body) },
		"later":        func() error { return Keys{key}.Verify(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at.Add(time.Hour), body) },
		"earlier": func() error {
			return Keys{key}.Verify(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", at.Add(-time.Hour), body)
		},
		"nothing": func() error { return Keys{key}.Verify(http.Header{}, "", at, body) },
		"no version": func() error {
			o := h.Clone()
			o.Set(HeaderSignature, strings.TrimPrefix(got[0], "v1,"))
			return Keys{key}.Verify(o, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
		},
	} {
		if bad() == nil {
			t.Errorf("%s is believed", name)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"short", "whsec_!!!", "whsec_MfKQ"} {
		if _, err := ParseKey(s); err == nil || strings.Contains(err.Error(), s) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://x.example/a": true, "http://127.0.0.1:1/": true, "http://[::1]/": true, "http://localhost/": true,
		"http://x.example/": false, "ftp://127.0.0.1/": false, "https://x.example/#a": false, "https:///a": false, "": false, "https://x\x00": false,
	} {
		if Usable(address) != want {
			t.Errorf("%q: %t", address, !want)
		}
	}
}
