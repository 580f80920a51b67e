package outbound

import (
	"fmt"
	"strings"
)

// Clip is what a far side said, fit for an error: at most n bytes, in one line.
func Clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' ' // no forged lines in the log
		}
		return r
	}, s)
}

// Short is an error's text without the pages of HTML some servers answer.
func Short(err error) string { return Clip(err.Error(), 300) }

// Caught turns a panic into an error; it is deferred. What a provider publishes is
// read beside all requests, where a panic would end the process, and everybody who
// waits for the reading would wait for ever (C15).
func Caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %s", Clip(fmt.Sprint(p), 200))
	}
}
