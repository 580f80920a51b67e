package pages

import (
	"net/http"
	"strconv"
	"strings"
)

// WantsJSON reports whether a program asks: it prefers application/json to
// HTML, or it names no HTML and does not navigate (B04).
func WantsJSON(r *http.Request) bool {
	var html, json float64
	for _, part := range accepted(r.Header.Values("Accept")) {
		switch name := part.name; {
		case name == "text/html" || name == "application/xhtml+xml":
			html = max(html, part.q)
		case name == "application/json" || strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json"):
			json = max(json, part.q)
		}
	}
	if html > 0 {
		return json > html
	}
	return json > 0 || r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// Language is the one that pages are shown in to who sent this request.
func (s *Set) Language(r *http.Request) string { return s.language(r.Header.Values("Accept-Language")) }

// language is the best of the configured languages for an Accept-Language.
func (s *Set) language(header []string) string {
	best, bestQ := s.languages[0], 0.0
	for _, part := range accepted(header) {
		if part.q <= bestQ {
			continue
		}
		base, _, _ := strings.Cut(part.name, "-")
		for _, lang := range s.languages {
			if lang == base || part.name == "*" {
				best, bestQ = lang, part.q
				break
			}
		}
	}
	return best
}

type weighed struct {
	name string
	q    float64
}

// accepted reads an Accept or Accept-Language header (RFC 9110 §12.4.2). What
// is malformed is skipped; 64 entries are enough for anybody.
func accepted(header []string) []weighed {
	var list []weighed
	for _, part := range strings.SplitN(strings.Join(header, ","), ",", 65) {
		name, params, _ := strings.Cut(part, ";")
		e := weighed{strings.ToLower(strings.TrimSpace(name)), 1}
		for p := range strings.SplitSeq(params, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			if !strings.EqualFold(k, "q") {
				continue
			}
			q, err := strconv.ParseFloat(v, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
			e.q = q
		}
		if e.name != "" && e.q > 0 && len(list) < 64 {
			list = append(list, e)
		}
	}
	return list
}
