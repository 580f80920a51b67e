package pages

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:embed texts/*.json
var textFiles embed.FS

// catalogue is all texts of one language, by code.
type catalogue map[string]string

func knownLanguages() []string {
	entries, _ := textFiles.ReadDir("texts")
	var list []string
	for _, e := range entries {
		list = append(list, strings.TrimSuffix(e.Name(), ".json"))
	}
	return list
}

func (s *Set) loadLanguages(want []string) error {
	if len(want) == 0 {
		want = []string{"en"}
	}
	known := knownLanguages()
	for _, lang := range want {
		if !slices.Contains(known, lang) {
			return fmt.Errorf("no language is called '%s'; there are: %s", lang, strings.Join(known, ", "))
		}
		if slices.Contains(s.languages, lang) {
			return fmt.Errorf("language '%s' is named twice", lang)
		}
		b, err := textFiles.ReadFile("texts/" + lang + ".json")
		if err != nil {
			return fmt.Errorf("reading texts: %w", err)
		}
		c := catalogue{}
		if err := json.Unmarshal(b, &c); err != nil {
			return fmt.Errorf("reading texts of %s: %w", lang, err)
		}
		s.texts[lang] = c
		s.languages = append(s.languages, lang)
	}
	return nil
}

// first returns the text of the first code there is, or "".
func (c catalogue) first(codes ...string) string {
	for _, code := range codes {
		if t := c[code]; t != "" {
			return t
		}
	}
	return ""
}

// label translates a label code; what is no code is a name and stands as it is.
func (c catalogue) label(code string) string {
	if t := c["label."+code]; t != "" {
		return t
	}
	return code
}

// heading is the first line of a page.
func (c catalogue) heading(v *View) string {
	if v.Kind == KindAsk {
		kind := ""
		if v.Page != nil {
			kind = v.Page.Kind
		}
		return c.first("page."+kind, "heading.ask")
	}
	if v.Kind == KindError {
		return c.first("heading."+string(v.Reason), "heading.error")
	}
	return v.fill(c.first("heading."+string(v.Kind), "heading.error"))
}

// fill puts the values of a view into the places of a text.
func (v *View) fill(text string) string {
	pairs := make([]string, 0, 2*len(v.Values))
	for name, value := range v.Values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// sentence says what happened and what the person can do.
func (c catalogue) sentence(v *View) string {
	reason := ""
	if v.Reason != "" {
		reason = c.first("reason."+string(v.Reason), "reason.internal")
	}
	switch v.Kind {
	case KindError:
		return c.or(reason, "reason.internal")
	case KindDenied:
		return c.or(reason, "reason.not_allowed")
	}
	return v.fill(c.first("body." + string(v.Kind)))
}

// cause says why sign-in keeps starting over or a logout was not complete, in the
// person's language.
func (c catalogue) cause(v *View) string { return v.fill(c["cause."+v.Cause]) }

func (c catalogue) or(s, code string) string {
	if s != "" {
		return s
	}
	return c[code]
}

// link is the label of View.Link.
func (c catalogue) link(v *View) string {
	if v.LinkLabel != "" {
		return c.label(v.LinkLabel)
	}
	return c.first("link."+string(v.Kind), "label.continue")
}
