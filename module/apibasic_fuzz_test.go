package module

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzBasic: a name and a password are text, and nothing of them is lost.
func FuzzBasic(f *testing.F) {
	for _, s := range []string{"", "a:b", "a", ":", "a:b:c", "a:\xff", "a\x00:b", "é:ü"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(s)))
	}
	f.Add("!")
	f.Fuzz(func(t *testing.T, text string) {
		name, password, err := userPass(text)
		if err != nil {
			if name+password != "" {
				t.Errorf("%q, %q beside %v", name, password, err)
			}
			return
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || name+":"+password != string(raw) || strings.Contains(name, ":") || !utf8.ValidString(name+password) {
			t.Errorf("%q: %q, %q", raw, name, password)
		}
	})
}
