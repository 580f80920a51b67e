package oidc

import (
	"strings"
	"testing"
)

// TestStrictObject: one signed text is one set of claims to every reader.
func TestStrictObject(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"sub":"a","x":{"y":[1,{"z":null}]}}`: "",
		`{"Department":"a","department":"b"}`:  "", // two claims of the person, both kept
		`{"sub":"a","sub":"a"}`:                "stands twice",
		`{"sub":"a","s\u0075b":"b"}`:           "stands twice",
		`{"x":[{"y":1,"y":2}]}`:                "stands twice",
		`{"sub":"a","SUB":"b"}`:                "imitates",
		`{"Aud":"a"}`:                          "imitates",
		`{"nonce":"a","nOnce":"b"}`:            "imitates",
		`{"sub":"a"}{"sub":"b"}`:               "something follows",
		`{"sub":"a"`:                           "malformed",
		`{"sub":}`:                             "malformed",
		`["sub"]`:                              "not a JSON object",
		`null`:                                 "not a JSON object",
		``:                                     "malformed",
		strings.Repeat("[", 100) + strings.Repeat("]", 100): "nested too deeply",
	} {
		_, err := strictObject([]byte(text))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}
