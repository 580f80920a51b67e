package jwt

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
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
		`{"sub":"a","\u017fub":"b"}`:           "imitates", // long s, an s to encoding/json
		`{"aud":"a","to\u212aen":"b"}`:         "",         // Kelvin sign, in a name of no protocol claim
		"{\"sub\":\"a\xff\"}":                  "not UTF-8",
		`{"sub":"a"}{"sub":"b"}`:               "something follows",
		`{"sub":"a"`:                           "malformed",
		`{"sub":}`:                             "malformed",
		`["sub"]`:                              "not a JSON object",
		`null`:                                 "not a JSON object",
		``:                                     "malformed",
		`{"sub":"a","x":1e400}`:                "", // its digits are kept
		strings.Repeat("[", 100) + strings.Repeat("]", 100): "nested too deeply",
	} {
		_, err := Object([]byte(text))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

// TestInstant: what is no time of any clock is none, not some time by overflow.
func TestInstant(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, "1772366400", true, 0.0, -1.0, -1e300, 1e13, 1e300, math.Inf(1), math.NaN(), []any{1.0}} {
		if at, ok := Instant(v); ok {
			t.Errorf("%v is %v", v, at)
		}
	}
	if at, ok := Instant(1772366400.5); !ok || !at.Equal(time.Unix(1772366400, 5e8)) {
		t.Errorf("%v, %v", at, ok)
	}
}

// TestNumbersStayThemselves: a number that no float64 holds stays its own digits;
// rounded, it would be somebody else's.
func TestNumbersStayThemselves(t *testing.T) {
	t.Parallel()
	got, err := Object([]byte(`{"badge":4711,"half":0.5,"neg":-3,"exp":1e3,"last":9007199254740991,"first":9007199254740993,"minus":-9007199254740993,"huge":1e300,"in":{"list":[10000000000000001]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"badge": 4711.0, "half": 0.5, "neg": -3.0, "exp": 1000.0, "last": 9007199254740991.0, "first": "9007199254740993", "minus": "-9007199254740993", "huge": 1e300,
		"in": map[string]any{"list": []any{"10000000000000001"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
