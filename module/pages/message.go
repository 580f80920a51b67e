package pages

import (
	"strings"
	"unicode"

	"github.com/sallyport-gateway/sallyport/flows"
)

// The longest value of a message, and the longest that is a secret, such as a link.
const (
	maxValue  = 200
	maxSecret = 2000
)

// Words fills in subject and text of a message in a language that we have, from
// the words of its kind; false means that there are none. What it is filled with
// stays on its line: a value cannot look like a sentence of ours.
func (s *Set) Words(m *flows.Message) bool {
	c, ok := s.texts[m.Language]
	if !ok {
		m.Language = s.languages[0]
		c = s.texts[m.Language]
	}
	m.Values, m.Secret, m.Rows = lines(m.Values, maxValue), lines(m.Secret, maxSecret), c.lines(m.Rows)
	pairs := []string{"{factor}", c.label(m.Values["factor"])} // the first of a name holds
	for name, v := range m.Secret {
		pairs = append(pairs, "{"+name+"}", v)
	}
	for name, v := range m.Values {
		pairs = append(pairs, "{"+name+"}", v)
	}
	text := c["message."+m.Kind+".text"]
	if m.Text == "" {
		fill := strings.NewReplacer(pairs...)
		m.Subject, m.Text = fill.Replace(c["message."+m.Kind+".subject"]), c.approves(m.Rows)+fill.Replace(text)
	}
	m.Subject = line(m.Subject, maxValue)
	return text != ""
}

// approves says what a code is for, before the code: who reads on knows it.
func (c catalogue) approves(rows []flows.Row) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(c["message.approves"] + "\n")
	for _, r := range rows {
		b.WriteString(r.Name + ": " + r.Value + "\n")
	}
	return b.String() + "\n"
}

func (c catalogue) lines(rows []flows.Row) []flows.Row {
	rows = c.rows(rows)
	for i, r := range rows {
		rows[i] = flows.Row{Name: line(r.Name, maxValue), Value: line(r.Value, maxValue)}
	}
	return rows
}

func lines(values map[string]string, longest int) map[string]string {
	out := make(map[string]string, len(values))
	for name, v := range values {
		out[name] = line(v, longest)
	}
	return out
}

// line is a value without what ends a line, or turns or hides text.
func line(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return s
}
