package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// table finds the smallest network around an address: it looks once for each length
// that occurs.
type table struct {
	four, six       []int // lengths, the longest first
	known           map[netip.Prefix]struct{}
	fourSet, sixSet [129]bool
}

func tableOf(lines []string) (*table, error) {
	t := &table{known: make(map[netip.Prefix]struct{}, len(lines))}
	for _, l := range lines {
		p, err := prefix(l)
		if err != nil {
			return nil, err
		}
		t.add(p)
	}
	t.done()
	return t, nil
}

// parse reads a file: a network in each line, and comments.
func parse(path string, content []byte) (*table, error) {
	t := &table{known: map[netip.Prefix]struct{}{}}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) {
		n++
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		p, err := prefix(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		t.add(p)
	}
	if len(t.known) == 0 {
		return nil, fmt.Errorf("%s holds no network", path)
	}
	t.done()
	return t, nil
}

// prefix reads an address or a network. IPv4 in the clothes of IPv6 is IPv4.
func prefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("'%s' is no network such as 10.0.0.0/8", shown(text))
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("'%s' is more than all of IPv4", shown(text))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("'%s' has bits behind its length; is %s meant?", shown(text), p.Masked())
	}
	return p, nil
}

// shown keeps what a file holds out of the way of terminals.
func shown(text string) string {
	if len(text) > 60 || !utf8.ValidString(text) {
		return fmt.Sprintf("%.60q…", text)
	}
	return text
}

func (t *table) add(p netip.Prefix) {
	t.known[p] = struct{}{}
	if p.Addr().Is4() {
		t.fourSet[p.Bits()] = true
	} else {
		t.sixSet[p.Bits()] = true
	}
}

func (t *table) done() {
	for n := range t.fourSet {
		if t.fourSet[n] {
			t.four = append(t.four, n)
		}
		if t.sixSet[n] {
			t.six = append(t.six, n)
		}
	}
	slices.Reverse(t.four)
	slices.Reverse(t.six)
}

// find answers the length of the smallest network around an address; -1: there is none.
func (t *table) find(a netip.Addr) int {
	lengths := t.six
	if a.Is4() {
		lengths = t.four
	}
	for _, n := range lengths {
		if p, err := a.Prefix(n); err == nil {
			if _, ok := t.known[p]; ok {
				return n
			}
		}
	}
	return -1
}
