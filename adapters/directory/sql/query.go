package sql

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// prepared is a query as it is sent.
type prepared struct {
	text       string
	parameters int // how often the value stands in it
}

// reading is what a query says outside of quotes.
type reading struct {
	parts []string // around each $1
	words []string // small
	marks bool     // a question mark, which is a parameter to MySQL

	// What stands between SELECT and FROM, and whether a * does.
	listed []string
	star   bool
	list   []bool // whether we are there, for each open parenthesis
}

// outside are placeholders of ours and of others: what stood there would be SQL.
var outside = regexp.MustCompile(`\{(by|value|\$?[A-Za-z_]+\.[^{}]*)\}`)

// writes are words that a query which reads has no use for. The database refuses
// writing, too; INTO OUTFILE of MySQL it would not.
var writes = []string{"insert", "update", "delete", "merge", "into", "call", "lock"}

// read looks a query through. It knows as little SQL as will do, and refuses what
// databases read differently: comments, backslashes, dollar quotes.
func read(text string) (r reading, err error) {
	if m := outside.FindString(text); m != "" {
		return r, fmt.Errorf("%s would become a part of the query; what lookup asks for stands there as $1, without quotes", m)
	}
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimSuffix(text, ";"))
	r.list = []bool{false}
	for i, from := 0, 0; ; {
		if i == len(text) {
			r.parts = append(r.parts, text[from:])
			return r, r.judge()
		}
		n, param := 1, false
		switch c, rest := text[i], text[i:]; {
		case c == '\'' || c == '"' || c == '`':
			n, err = r.quoted(rest)
		case c == ';':
			return r, errors.New("there must be one statement, but a ; is followed by more")
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*"):
			return r, errors.New("comments are not for the database; write them beside the query")
		case c == '\\' || c == 0:
			return r, errors.New("a backslash or NUL has no meaning in it")
		case c == '$':
			n = 1 + span(rest[1:], digit)
			if param = rest[:n] == "$1"; !param {
				return r, errors.New("$1 is the value; there is no other parameter, and $ cannot quote")
			}
		case digit(c) || letter(c):
			n = span(rest, func(c byte) bool { return digit(c) || letter(c) || c == '$' })
			r.word(strings.ToLower(rest[:n]))
		default:
			r.sign(c)
		}
		if err != nil {
			return r, err
		}
		if param {
			r.parts, from = append(r.parts, text[from:i]), i+n
		}
		i += n
	}
}

func (r *reading) word(w string) {
	r.words = append(r.words, w)
	at := len(r.list) - 1
	switch {
	case w == "select":
		r.list[at] = true
	case w == "from":
		r.list[at] = false
	case r.list[at]:
		r.listed = append(r.listed, w)
	}
}

func (r *reading) sign(c byte) {
	at := len(r.list) - 1
	switch {
	case c == '?':
		r.marks = true
	case c == '*':
		r.star = r.star || r.list[at]
	case c == '(':
		r.list = append(r.list, r.list[at])
	case c == ')' && at > 0:
		r.list = r.list[:at]
	}
}

// quoted measures what begins with a quote; doubled, it is a part of the text.
func (r *reading) quoted(text string) (int, error) {
	quote := text[:1]
	end := 1
	for {
		at := strings.Index(text[end:], quote)
		if at < 0 {
			return 0, fmt.Errorf("a %s has no end", quote)
		}
		end += at + 1
		if !strings.HasPrefix(text[end:], quote) {
			break
		}
		end++
	}
	switch in := text[1 : end-1]; {
	case strings.Contains(in, `\`):
		return 0, errors.New("a backslash in quotes means something else on every database")
	case strings.Contains(in, "$1"):
		return 0, errors.New("$1 in quotes is a text and no parameter; write $1 without, as in mail = $1, or '%' || $1")
	case quote != "'" && r.list[len(r.list)-1]:
		r.listed = append(r.listed, in)
	}
	return end, nil
}

// judge refuses what is no question about one value.
func (r *reading) judge() error {
	if len(r.words) == 0 || r.words[0] != "select" && r.words[0] != "with" {
		return fmt.Errorf("it must begin with SELECT or WITH, not '%s'; a directory is read and never written", strings.Join(r.words[:min(1, len(r.words))], ""))
	}
	for _, w := range writes {
		if slices.Contains(r.words, w) {
			return fmt.Errorf("%s has no place in it: a directory is read and never written; a column of this name stands in quotes", strings.ToUpper(w))
		}
	}
	if len(r.parts) < 2 {
		return errors.New("$1 is missing, so everybody would be the same; it stands where the value belongs, as in mail = $1")
	}
	return nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func span(text string, is func(byte) bool) (n int) {
	for n < len(text) && is(text[n]) {
		n++
	}
	return n
}

// selects refuses a query that can hardly answer a column of this name.
func selects(text, by string) error {
	r, err := read(text)
	if err != nil {
		return err
	}
	if !r.star && !slices.ContainsFunc(r.listed, func(name string) bool { return strings.EqualFold(name, by) }) {
		return fmt.Errorf("the query selects no column '%s', by which the person is asked for; a row must say whose it is", by)
	}
	return nil
}

// check refuses what can be seen without the database.
func (q Query) check() error {
	_, err := read(q.SQL)
	switch {
	case q.By != "" && !attributeForm.MatchString(q.By):
		return fmt.Errorf("query: '%s' is no name of an attribute", q.By)
	case err == nil && q.By != "":
		err = selects(q.SQL, q.By)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace("query "+q.By), err)
	}
	return nil
}

func (d *Directory) checkQueries() error {
	if len(d.Queries) == 0 {
		return errors.New(`sql needs a query, as in: query "SELECT mail, employee_id FROM people WHERE mail = $1"`)
	}
	for i, q := range d.Queries {
		switch {
		case q.By == "" && len(d.Queries) > 1:
			return errors.New(`of several queries each says what it finds people by, as in: query mail "SELECT …"`)
		case slices.ContainsFunc(d.Queries[:i], func(o Query) bool { return o.By == q.By }):
			return fmt.Errorf("there are two queries by %s", q.By)
		}
		if err := q.check(); err != nil {
			return err
		}
	}
	return nil
}

// prepare writes the queries as the database wants them.
func (d *Directory) prepare() (map[string]prepared, error) {
	out := map[string]prepared{}
	for _, q := range d.Queries {
		r, err := read(q.SQL)
		if err != nil {
			return nil, err
		}
		p := prepared{strings.Join(r.parts, "$1"), 1}
		if d.mysql {
			if r.marks {
				return nil, errors.New("query: a ? is a parameter to MySQL; write $1")
			}
			p = prepared{strings.Join(r.parts, "?"), len(r.parts) - 1}
		}
		out[q.By] = p
	}
	return out, nil
}
