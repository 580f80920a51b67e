package headers

import (
	"net/http"
	"strings"
)

// Stripper removes from a request everything that could be read as a header
// the gateway owns. It is made once, for all sites together (I18), and is safe
// for concurrent use.
type Stripper struct {
	// names are the folded names by length; longer ones share the last bucket.
	names [longest + 1][]string
	// firsts has, per length, a bit for each first byte a name begins with:
	// most headers of an application are let go after this one test.
	firsts [longest + 1]uint64
	// families are folded prefixes; family has a bit for each pair of first bytes:
	// one byte would send every Sec-Fetch-* through all families with an s.
	families []string
	family   uint64
	// any has a bit for each first byte of anything owned.
	any uint64
}

const longest = 48

// NewStripper makes a Stripper for names in any spelling; "Prefix*" takes a
// whole family. What frames a message is never taken (see ValidateOwned, which
// a configuration should have called).
func NewStripper(names []string) *Stripper {
	s := &Stripper{}
	seen := map[string]bool{}
	for _, n := range names {
		if n == "" || seen[Fold(n)] || ValidateOwned(n) != nil {
			continue
		}
		seen[Fold(n)] = true
		if prefix, ok := strings.CutSuffix(n, "*"); ok {
			f := Fold(prefix)
			s.families = append(s.families, f)
			s.family |= pair(f[0], f[1])
			s.any |= bit(f[0])
			continue
		}
		f := Fold(n)
		l := min(len(f), longest)
		s.names[l] = append(s.names[l], f)
		s.firsts[l] |= bit(f[0])
	}
	for _, f := range s.firsts {
		s.any |= f
	}
	return s
}

// bit is the place of a folded byte in a mask. Some digits share theirs with a
// letter, which costs a comparison and nothing else.
func bit(c byte) uint64 { return 1 << (c & 63) }

// pair is the place of two folded bytes in a mask.
func pair(a, b byte) uint64 { return 1 << ((a*5 + b) & 63) }

// Owns reports whether a name, in any spelling, is one of ours.
func (s *Stripper) Owns(name string) bool {
	if name == "" {
		return false
	}
	first := bit(foldTable[name[0]])
	if s.any&first == 0 {
		return false
	}
	if l := min(len(name), longest); s.firsts[l]&first != 0 {
		for _, n := range s.names[l] {
			if len(n) == len(name) && folds(name, n) {
				return true
			}
		}
	}
	if len(name) < 2 || s.family&pair(foldTable[name[0]], foldTable[name[1]]) == 0 {
		return false
	}
	for _, p := range s.families {
		if len(name) >= len(p) && folds(name[:len(p)], p) {
			return true
		}
	}
	return false
}

// folds compares from the end, where names of one family differ.
func folds(name, folded string) bool {
	for i := len(name) - 1; i >= 0; i-- {
		if foldTable[name[i]] != folded[i] {
			return false
		}
	}
	return true
}

// Clean removes every alias of every owned name from a request, before
// anything of ours is written into it:
//
//   - the headers themselves, raw map keys too;
//   - their names in Connection, Proxy-Connection and Trailer, because a proxy
//     deletes what Connection names, and would delete what we inject (P3);
//   - trailers, announced or not, when the body has been read (P4).
//
// Upgrade and other tokens stay. Cleaning twice changes nothing more. If the
// request is copied afterwards, the guard of the body goes with the copy.
func (s *Stripper) Clean(r *http.Request) (met Met) {
	for k, v := range r.Header {
		switch {
		case s.Owns(k):
			delete(r.Header, k)
		case k == "Cookie":
			met.Cookie = v
		case k == "Upgrade":
			met.Upgrade = v
		case listsNames(k):
			s.cleanTokens(r.Header, k, v)
		}
	}
	announced := len(r.Trailer) > 0
	if announced {
		s.cleanTrailer(r.Trailer)
	}
	s.guard(r, announced)
	return met
}

// Met are the lines of headers that Clean came by and others look into: looking
// for one of them costs as much as half of what Clean does.
type Met struct{ Cookie, Upgrade []string }

// listsNames reports whether a header's value is a list of header names. The
// server writes these keys in canonical case; another spelling is another's
// doing, and is cleaned as well.
func listsNames(k string) bool {
	switch len(k) {
	case len("Connection"):
		return sameClass(k, "Connection")
	case len("Proxy-Connection"):
		return sameClass(k, "Proxy-Connection")
	case len("Trailer"):
		return sameClass(k, "Trailer")
	}
	return false
}

func (s *Stripper) cleanTokens(h http.Header, key string, vals []string) {
	if !s.namesOwned(vals) {
		return
	}
	var keep []string
	for _, v := range vals {
		for tok := range strings.SplitSeq(v, ",") {
			if tok = strings.Trim(tok, " \t"); tok != "" && !s.ownsToken(tok) {
				keep = append(keep, tok)
			}
		}
	}
	if len(keep) == 0 {
		delete(h, key)
		return
	}
	// One line: some proxies read only the first, and Upgrade must not be lost.
	h[key] = []string{strings.Join(keep, ", ")}
}

func (s *Stripper) namesOwned(vals []string) bool {
	for _, v := range vals {
		for more := true; more; {
			var tok string
			tok, v, more = strings.Cut(v, ",")
			if s.ownsToken(tok) {
				return true
			}
		}
	}
	return false
}

func (s *Stripper) ownsToken(tok string) bool {
	for tok != "" && (tok[0] == ' ' || tok[0] == '\t') {
		tok = tok[1:]
	}
	if tok == "" || (s.any&bit(foldTable[tok[0]])) == 0 {
		return false
	}
	name, _, _ := strings.Cut(tok, ";")
	return s.Owns(strings.TrimRight(name, " \t"))
}
