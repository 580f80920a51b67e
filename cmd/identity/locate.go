package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// lines are those of a Caddyfile with what it imports, to find where something was written
// of which the adapted configuration does not say.
type lines struct{ blocks []caddyfile.ServerBlock }

// linesOf reads a Caddyfile; what is none has no lines.
func linesOf(file string) lines {
	body, err := os.ReadFile(file)
	if err != nil {
		return lines{}
	}
	blocks, err := caddyfile.Parse(file, body)
	if err != nil {
		return lines{}
	}
	return lines{blocks}
}

// find is the file and line of a place, "" where there is none.
func (l lines) find(place []string) string {
	switch {
	case len(place) == 3 && place[0] == "reverse_proxy":
		return l.proxy(place[1], place[2])
	case len(place) > 0:
		return l.named(place)
	}
	return ""
}

// proxy finds a proxy in the block of a site.
func (l lines) proxy(site, upstream string) string {
	for _, b := range l.blocks {
		if !isOf(b, site) {
			continue
		}
		for _, s := range b.Segments {
			for i, t := range s {
				if begins(s, i) && (t.Text == "reverse_proxy" || t.Text == "php_fastcgi") && mentions(s[i+1:], t.Line, upstream) {
					return at(t)
				}
			}
		}
	}
	return ""
}

func isOf(b caddyfile.ServerBlock, site string) bool {
	for _, k := range b.Keys {
		for host := range strings.SplitSeq(site, ", ") {
			if strings.Contains(k.Text, host) {
				return true
			}
		}
	}
	return false
}

// mentions reports whether one of the upstreams is written on the line, or below it in the
// proxy's block.
func mentions(rest []caddyfile.Token, line int, upstream string) bool {
	depth := 0
	for _, t := range rest {
		switch {
		case t.Text == "{":
			depth++
		case t.Text == "}":
			depth--
		}
		if depth <= 0 && t.Line != line {
			return false
		}
		for dial := range strings.SplitSeq(upstream, ", ") {
			if strings.HasSuffix(t.Text, dial) || upstream == "dynamic" {
				return true
			}
		}
	}
	return false
}

// named finds `provider corp`, and in its block the line that begins with a third word. A
// second word that is empty stands for none.
func (l lines) named(place []string) string {
	name, inside := "", ""
	if len(place) > 1 {
		name = place[1]
	}
	if len(place) > 2 {
		inside = place[2]
	}
	for _, b := range l.blocks {
		for _, s := range b.Segments {
			if len(b.Keys) > 0 || len(s) == 0 || s[0].Text != "identity" {
				continue
			}
			for i, t := range s {
				if begins(s, i) && t.Text == place[0] && (name == "" || i+1 < len(s) && s[i+1].Text == name) {
					return at(within(s, i, inside))
				}
			}
		}
	}
	return ""
}

// within is the line of a word in the block that begins at i, or the token there.
func within(s []caddyfile.Token, i int, word string) caddyfile.Token {
	depth := 0
	for j := i; j < len(s) && word != "" && (depth > 0 || s[j].Line == s[i].Line); j++ {
		switch s[j].Text {
		case "{":
			depth++
		case "}":
			depth--
		case word, strings.TrimSuffix(word, "s"):
			if begins(s, j) {
				return s[j]
			}
		}
	}
	return s[i]
}

// begins reports whether a token is the first of its line.
func begins(s []caddyfile.Token, i int) bool {
	return i == 0 || s[i-1].Line != s[i].Line || s[i-1].File != s[i].File
}

func at(t caddyfile.Token) string { return fmt.Sprintf("%s:%d", filepath.Base(t.File), t.Line) }
