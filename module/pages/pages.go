// Package pages draws the gateway's own pages: what a step asks, errors,
// refusals, the end of a session. A page is data ([View]); this package owns all
// HTML, CSS and JavaScript, and answers programs with the same data as JSON.
//
// Nothing here needs JavaScript, but to keep the fragment of a deep link and to use
// a passkey or security key. Everything is escaped by html/template, nothing is cached, nothing is loaded from anywhere else, and no page can be framed
// except the one that tells a frame to open the login in the whole window.
package pages

import (
	"fmt"
	"html/template"
	"strings"
)

// Options is how the pages look. The zero value works.
type Options struct {
	// Title stands above every page; default: nothing but the page's own heading.
	Title string
	// Logo is an image file (svg, png, jpeg, webp; at most 256 KiB), read once by New.
	Logo string
	// Accent is a CSS hex colour, "#rgb" or "#rrggbb"; default "#1f5fbf".
	Accent string
	// Templates is a directory whose *.html files replace the embedded ones of the same name.
	Templates string
	// Languages offered, best first; default en. The first is used when none fits.
	Languages []string
}

// Set is a loaded set of pages. It is safe for concurrent use and never changes.
type Set struct {
	title     string
	logo      template.URL
	style     template.CSS
	templates map[string]*template.Template
	languages []string
	texts     map[string]catalogue
}

// New loads everything a page needs. A bad file, colour, template or language
// is an error here, never later: every page is drawn once before it returns.
func New(o Options) (*Set, error) {
	s := &Set{title: o.Title, texts: map[string]catalogue{}}
	if err := s.loadLanguages(o.Languages); err != nil {
		return nil, err
	}
	var err error
	if s.logo, err = loadLogo(o.Logo); err != nil {
		return nil, err
	}
	if s.style, err = loadStyle(o.Accent); err != nil {
		return nil, err
	}
	if s.templates, err = loadTemplates(o.Templates); err != nil {
		return nil, err
	}
	return s, s.rehearse()
}

// runs checks that a template left the script of a page where it is, and what it works on.
func runs(v *View, body string) error {
	for _, sc := range scriptsOf(v) {
		switch {
		case !strings.Contains(body, string(sc.element)):
			return fmt.Errorf("page template %s must write {{.Script}} at the end of the body", frame)
		case sc.needs != "" && !strings.Contains(body, `id="`+sc.needs+`"`):
			return fmt.Errorf("page template %s needs an element with id=\"%s\"", file(v.kind()), sc.needs)
		}
	}
	return nil
}

// rehearse draws every kind of page in every language, so that a template that
// names a field that does not exist is refused at load.
func (s *Set) rehearse() error {
	for _, lang := range s.languages {
		for _, v := range samples() {
			body, err := s.render(lang, "nonce", &v)
			if err != nil {
				return fmt.Errorf("drawing page %s in %s: %w", v.Kind, lang, err)
			}
			if err := runs(&v, string(body)); err != nil {
				return err
			}
		}
	}
	return nil
}
