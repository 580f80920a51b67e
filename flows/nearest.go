package flows

import "strings"

// Nearest is the name that a misspelt one was probably meant to be: that which
// differs least, if it is close. "" if none is.
func Nearest(got string, have []string) string {
	best, least := "", 3
	for _, h := range have {
		if n := distance(strings.ToLower(got), h); n < least && n*2 < len(h) {
			best, least = h, n
		}
	}
	return best
}

// distance counts the letters to insert, delete, change or swap (Damerau-Levenshtein, adjacent swaps).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
