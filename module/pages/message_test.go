package pages

import (
	"strings"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
)

func codeMessage() flows.Message {
	return flows.Message{
		Kind: "code", Language: "de", Values: map[string]string{"host": "bank.example", "minutes": "5"}, Secret: map[string]string{"code": "830417"},
		Rows: []flows.Row{{Name: "amount", Value: "950.00"}, {Name: "payee", Value: "DE02 1203 0000 0000 2020 51"}},
	}
}

// B26: what a code approves is named in the message, before the code.
func TestB26TheMessageNamesWhatItApproves(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: knownLanguages()})
	for _, kind := range []string{"code", "code_sms"} {
		m := codeMessage()
		m.Kind = kind
		if !s.Words(&m) {
			t.Fatalf("%s has no words", kind)
		}
		rows, rest, _ := strings.Cut(m.Text, "\n\n")
		if rows != "Sie geben frei:\namount: 950.00\npayee: DE02 1203 0000 0000 2020 51" || !strings.HasPrefix(rest, "830417 ist Ihr Code für bank.example") || strings.Contains(m.Text, "{") || strings.Contains(m.Subject, "830417") {
			t.Errorf("%s: %s\n%s", kind, m.Subject, m.Text)
		}
	}
}

// A value cannot look like a sentence of ours, whoever gave it.
func TestMessageValuesStayOnTheirLine(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: []string{"en"}})
	const forged = "950.00\r\n\r\nYour account is locked, call 555\u2028now\u202e"
	m := codeMessage()
	m.Values["host"], m.Rows[0] = forged, flows.Row{Name: forged, Value: forged}
	s.Words(&m)
	want := codeMessage()
	want.Values["host"], want.Rows[0] = "x", flows.Row{Name: "x", Value: "x"}
	s.Words(&want)
	if got := strings.Count(m.Text, "\n"); got != strings.Count(want.Text, "\n") || strings.ContainsAny(m.Text+m.Subject, "\r\u2028\u202e") || strings.Contains(m.Subject, "\n") {
		t.Errorf("%d lines, want %d:\n%q\n%q", got, strings.Count(want.Text, "\n"), m.Subject, m.Text)
	}
	m = codeMessage()
	m.Values["host"] = strings.Repeat("x", 10_000)
	if s.Words(&m); len(m.Text) > 1000 {
		t.Errorf("a message of %d bytes", len(m.Text))
	}
	m = codeMessage()
	m.Values["host"] = "{code}"
	if s.Words(&m); strings.Contains(m.Subject, "830417") {
		t.Errorf("a value is filled in again: %s", m.Subject)
	}
}

func TestMessageLanguages(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: []string{"fr", "en"}})
	for language, want := range map[string]string{"en": "Your code", "fr": "Votre code", "de": "Votre code", "": "Votre code"} {
		m := codeMessage()
		if m.Language = language; !s.Words(&m) || !strings.HasPrefix(m.Subject, want) || m.Language == "de" {
			t.Errorf("%q: %s: %s", language, m.Language, m.Subject)
		}
	}
	m := flows.Message{Kind: "invitation", Subject: "a\nb", Text: "our own\nwords"}
	if s.Words(&m) || m.Subject != "a b" || m.Text != "our own\nwords" {
		t.Errorf("words of somebody else: %+v", m)
	}
	m = flows.Message{Kind: "factor_added", Language: "fr", Values: map[string]string{"factor": "totp", "host": "x", "time": "now"}}
	if s.Words(&m); !strings.HasPrefix(m.Text, "Application d’authentification") {
		t.Errorf("the factor is not named: %s", m.Text)
	}
}
