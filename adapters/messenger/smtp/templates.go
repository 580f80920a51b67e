package smtp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// template is an operator's own words for a kind of message.
type template struct{ subject, text string }

var templateName = regexp.MustCompile(`^[a-z0-9_]+(\.[A-Za-z-]+)?\.txt$`)

// loadTemplates reads <kind>.txt and <kind>.<language>.txt.
func loadTemplates(dir string) (map[string]template, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err == nil && len(files) == 0 {
		err = errors.New("no file is called <kind>.txt or <kind>.<language>.txt there")
	}
	if err != nil {
		return nil, fmt.Errorf("templates %s: %w", dir, err)
	}
	out := map[string]template{}
	for _, f := range files {
		name := filepath.Base(f)
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("templates: %w", err)
		}
		subject, text, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
		empty, text, _ := strings.Cut(text, "\n")
		switch {
		case !templateName.MatchString(name):
			return nil, fmt.Errorf("templates %s: '%s' is not <kind>.txt or <kind>.<language>.txt", dir, name)
		case strings.TrimSpace(subject) == "" || strings.TrimSpace(empty) != "" || strings.TrimSpace(text) == "":
			return nil, fmt.Errorf("templates %s: %s: the first line is the subject, the second is empty, the rest is the text", dir, name)
		}
		out[strings.TrimSuffix(name, ".txt")] = template{strings.TrimSpace(subject), text}
	}
	return out, nil
}

// reworded puts the operator's words in place of ours, if there are any. What a
// code is for stays in the message even where they forgot it (B26).
func (m *Messenger) reworded(msg flows.Message) flows.Message {
	t, ok := m.templates[msg.Kind+"."+msg.Language]
	if !ok {
		t, ok = m.templates[msg.Kind]
	}
	if !ok {
		return msg
	}
	var approves strings.Builder
	for _, r := range msg.Rows {
		approves.WriteString(r.Name + ": " + r.Value + "\n")
	}
	if approves.Len() > 0 && !strings.Contains(t.text, "{approves}") && !strings.Contains(t.text, "{text}") {
		t.text = "{approves}\n" + t.text
	}
	pairs := []string{"{text}", msg.Text, "{approves}", approves.String()}
	for _, values := range []map[string]string{msg.Secret, msg.Values} {
		for name, v := range values {
			pairs = append(pairs, "{"+name+"}", v)
		}
	}
	fill := strings.NewReplacer(pairs...)
	msg.Subject, msg.Text = fill.Replace(t.subject), fill.Replace(t.text)
	return msg
}
