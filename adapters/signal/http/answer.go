package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-gateway/sallyport/flows"
)

// The most that is taken of an answer.
const (
	maxAnswer  = 64 << 10
	maxReasons = 5
	maxText    = 200 // bytes of all reasons together
)

var plainID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// parse reads an answer. Member names are compared exactly, and those that are not
// known are not looked at; each that is must be as it should. No error holds what the
// service wrote: it goes into a log.
func parse(body []byte) (flows.Reading, error) {
	var r flows.Reading
	if len(body) > maxAnswer {
		return r, fmt.Errorf("its answer is longer than %d KiB", maxAnswer>>10)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil || m == nil {
		return r, errors.New("its answer is no JSON object")
	}
	score, err := scoreOf(m["score"])
	if err != nil {
		return r, err
	}
	text, err := textOf(m["reasons"])
	if err != nil {
		return r, err
	}
	if raw, there := m["id"]; there {
		if json.Unmarshal(raw, &r.Ref) != nil || !plainID.MatchString(r.Ref) {
			return flows.Reading{}, errors.New("its id is no text of at most 128 letters, digits, '.', '_', ':' and '-'")
		}
	}
	r.Score, r.Text = score, text
	if r.Score > 0 {
		r.Reason = flows.ReasonServiceScore
	}
	return r, nil
}

// scoreOf reads a number: neither null nor a text that looks like one.
func scoreOf(raw json.RawMessage) (int, error) {
	var n *float64
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || json.Unmarshal(raw, &n) != nil || n == nil || !(*n >= 0 && *n <= 100) {
		return 0, errors.New("its score is no number from 0 to 100")
	}
	return int(math.Round(*n)), nil
}

// textOf makes one text of the reasons: for the trail, and for nobody to be led astray.
func textOf(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var all []string
	if err := json.Unmarshal(raw, &all); err != nil {
		return "", errors.New("its reasons are no list of texts")
	}
	var out []string
	for _, one := range all[:min(len(all), maxReasons)] {
		one = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) { // control characters, and what turns the direction of a text
				return ' '
			}
			return r
		}, one)), " ")
		if one != "" {
			out = append(out, one)
		}
	}
	return cut(strings.Join(out, "; "), maxText), nil
}

// cut shortens a text to n bytes, behind a whole character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n -= len("…"); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + "…"
}
