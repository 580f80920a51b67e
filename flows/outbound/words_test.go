package outbound

import (
	"errors"
	"testing"
)

func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"short": "short", "12345678": "12345678", "123456789": "12345678…",
		"a\nb\r\x7fc": "a b  c", "1234567ü": "1234567…", "x\u2028y": "x y",
	} {
		if got := Clip(in, 8); got != want {
			t.Errorf("Clip(%q, 8) = %q, want %q", in, got, want)
		}
	}
}

func TestCaught(t *testing.T) {
	read := func(f func()) (err error) {
		defer Caught(&err)
		f()
		return errors.New("as it was")
	}
	if err := read(func() { panic("line\nline") }); err.Error() != "panic: line line" {
		t.Error(err)
	}
	if err := read(func() {}); err.Error() != "as it was" {
		t.Error(err)
	}
}
