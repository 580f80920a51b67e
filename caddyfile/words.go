package caddyfile

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

// word is one subdirective of a block: how it is parsed into P, and whether it
// may stand there more than once.
type word[P any] struct {
	parse func(P, *caddyfile.Dispenser) error
	many  bool
}

// parseBlock parses every line of the block that opens behind d's cursor by the
// table. Unknown and repeated words, leftover arguments and blocks where none
// belongs are errors.
func parseBlock[P any](p P, d *caddyfile.Dispenser, what string, words map[string]word[P]) error {
	seen := map[string]int{}
	for _, line := range readBlock(d).lines {
		ld := dispense(line)
		name := ld.Val()
		w, ok := words[name]
		if !ok {
			return unknownWord(ld, what, name, slices.Collect(maps.Keys(words)))
		}
		if at, twice := seen[name]; twice && !w.many {
			return ld.Errf("%s is written twice in %s; the first is on line %d", name, what, at)
		}
		seen[name] = ld.Line()
		if err := w.parse(p, ld); err != nil {
			return err
		}
		if err := finish(ld, name); err != nil {
			return err
		}
	}
	return nil
}

// block is what stands between two braces, line by line. Each line holds its
// own block with both braces, also when that is empty.
type block struct {
	there       bool
	open, close caddyfile.Token
	lines       []caddyfile.Segment
}

// readBlock reads the block that opens on the cursor's line, if there is one,
// and leaves the cursor on its last token.
func readBlock(d *caddyfile.Dispenser) block {
	var b block
	if !d.Next() {
		return b
	}
	b.open = d.Token()
	d.Prev()
	if !isBrace(b.open, "{") {
		return b
	}
	b.there = true
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		b.lines = append(b.lines, readLine(d))
	}
	b.close = d.Token()
	return b
}

// readLine reads the words of a line and its block. Caddy's own NextSegment
// drops the braces of an empty block, and for us `else {}` means something.
func readLine(d *caddyfile.Dispenser) caddyfile.Segment {
	line := caddyfile.Segment{d.Token()}
	for d.NextArg() {
		line = append(line, d.Token())
	}
	b := readBlock(d)
	if !b.there {
		return line
	}
	line = append(line, b.open)
	for _, l := range b.lines {
		line = append(line, l...)
	}
	return append(line, b.close)
}

// dispense makes a dispenser that stands on the first word of a line.
func dispense(line caddyfile.Segment) *caddyfile.Dispenser {
	d := caddyfile.NewDispenser(line)
	d.Next()
	return d
}

// here remembers where d stands, for an error that is found later.
func here(d *caddyfile.Dispenser) *caddyfile.Dispenser {
	return dispense(caddyfile.Segment{d.Token()})
}

func isBrace(t caddyfile.Token, brace string) bool { return t.Text == brace && !t.Quoted() }

// checkBraces refuses a closing brace with something behind it on its line.
// Caddy's dispenser would skip such a brace, so that `} else {` became a part of
// the block it seems to end: a rule must never end up under another condition
// than the one it is read under.
func checkBraces(d *caddyfile.Dispenser) error {
	defer d.Reset()
	for d.Next() {
		if !isBrace(d.Token(), "}") || d.NextLine() && d.Prev() {
			continue
		}
		if d.Next() {
			return d.Errf("'%s' must stand on a line of its own, below the closing brace", d.Val())
		}
	}
	return nil
}

// finish refuses what a line's parser left over.
func finish(d *caddyfile.Dispenser, name string) error {
	if d.NextArg() {
		return d.Errf("unexpected '%s' behind %s", d.Val(), name)
	}
	if d.Next() {
		return d.Errf("%s takes no block here", name)
	}
	return nil
}

// one reads the only argument of a line. what names it in the error.
func one(d *caddyfile.Dispenser, what string) (string, error) {
	name := d.Val()
	if !d.NextArg() {
		return "", d.Errf("%s wants %s", name, what)
	}
	v := d.Val()
	if v == "" {
		return "", d.Errf("%s: %s must not be empty", name, what)
	}
	return v, nil
}

// some reads one or more arguments.
func some(d *caddyfile.Dispenser, what string) ([]string, error) {
	name, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return nil, d.Errf("%s wants at least one %s", name, what)
	}
	if slices.Contains(args, "") {
		return nil, d.Errf("%s: a %s must not be empty", name, what)
	}
	return args, nil
}

// oneOf reads an argument that must be one of these.
func oneOf(d *caddyfile.Dispenser, values ...string) (string, error) {
	name := d.Val()
	v, err := one(d, strings.Join(values, " or "))
	if err != nil {
		return "", err
	}
	if !slices.Contains(values, v) {
		return "", d.Errf("%s cannot be '%s'; it is one of: %s", name, v, strings.Join(values, ", "))
	}
	return v, nil
}

func onOff(d *caddyfile.Dispenser) (bool, error) {
	v, err := oneOf(d, "on", "off")
	return v == "on", err
}

func duration(d *caddyfile.Dispenser) (caddy.Duration, error) {
	name := d.Val()
	v, err := one(d, "a duration such as 30m")
	if err != nil {
		return 0, err
	}
	t, err := caddy.ParseDuration(v)
	if err != nil {
		return 0, d.Errf("%s: '%s' is no duration such as 30m or 12h", name, v)
	}
	if t < time.Second {
		return 0, d.Errf("%s must be at least 1s, not %s", name, v)
	}
	return caddy.Duration(t), nil
}

// count reads a number of at least one.
func count(d *caddyfile.Dispenser) (int, error) {
	name := d.Val()
	v, err := one(d, "a number such as 3")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, d.Errf("%s: '%s' is no number such as 3", name, v)
	}
	return n, nil
}

// source is where the current token was written, without the folder: it is
// shown in the trail and in the JSON.
func source(d *caddyfile.Dispenser) string {
	return fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
}

func unknownWord(d *caddyfile.Dispenser, what, got string, have []string) error {
	slices.Sort(have)
	return d.Errf("%s has no word '%s'%s; there are: %s", what, got, didYouMean(got, have), strings.Join(have, ", "))
}

// nobody is the error for a name that nothing has.
func nobody(kind, got string, have []string) error {
	if len(have) == 0 {
		return fmt.Errorf("no %s is called '%s'; there is none", kind, got)
	}
	return fmt.Errorf("no %s is called '%s'; there are: %s", kind, got, strings.Join(have, ", "))
}

// guests lists the modules of a namespace by their last label.
func guests(namespace string) []string {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	slices.Sort(names)
	return names
}

func didYouMean(got string, have []string) string {
	if best := flows.Nearest(got, have); best != "" {
		return " (did you mean '" + best + "'?)"
	}
	return ""
}
