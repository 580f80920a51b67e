package pages

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frame is the template around every page; the others define its "main".
const frame = "layout.html"

// file is the template a kind of page is drawn with.
func file(k Kind) string {
	switch k {
	case KindAsk:
		return "ask.html"
	case KindConfirmLogout, KindArrived:
		return "confirm_logout.html"
	case KindPost:
		return "post.html"
	case KindSendAgain:
		return "send_again.html"
	case KindLongAddress:
		return "long_address.html"
	case KindKeep:
		return "keep.html"
	case KindResume:
		return "resume.html"
	case KindAccount:
		return "account.html"
	}
	return "message.html"
}

// loadTemplates parses the embedded files, each replaced by the one of the same
// name in dir, if there is one.
func loadTemplates(dir string) (map[string]*template.Template, error) {
	entries, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	for _, e := range entries {
		b, err := templateFiles.ReadFile("templates/" + e.Name())
		if err != nil {
			return nil, err
		}
		sources[e.Name()] = string(b)
	}
	if err := override(sources, dir); err != nil {
		return nil, err
	}
	sets := map[string]*template.Template{}
	for name, source := range sources {
		if name == frame {
			continue
		}
		t, err := template.New(frame).Parse(sources[frame])
		if err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
		if _, err := t.New(name).Parse(source); err != nil {
			return nil, fmt.Errorf("page template: %w", err)
		}
		sets[name] = t
	}
	return sets, nil
}

func override(sources map[string]string, dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("page templates: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".html") || strings.HasPrefix(name, ".") {
			continue
		}
		if _, ok := sources[name]; !ok {
			var known []string
			for k := range sources {
				known = append(known, k)
			}
			slices.Sort(known)
			return fmt.Errorf("page templates: no page is called '%s'; there are: %s", name, strings.Join(known, ", "))
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("page templates: %w", err)
		}
		sources[name] = string(b)
	}
	return nil
}

// Data is what a template sees. Everything is plain text and escaped where it
// is written, but for Logo and Style, which come from the operator's config.
type Data struct {
	Lang, Title, Heading, Nonce string
	Logo                        template.URL
	Style                       template.CSS
	Kind, Reason                string
	// Sentence says what happened; Text is the operator's own words.
	Sentence, Text string
	// Reference is the audit id, Account who is signed in, Retry when to try again, as whole phrases.
	Reference, ID, Account, User, Retry string
	Link, LinkLabel                     string
	// Top: the link leaves the frame.
	Top bool
	// Refresh and Script are ours: whole elements, for the head and the end of the body.
	Refresh, Script template.HTML
	Action, Token   string
	// Exact is the whole attribute of Action, letter by letter: a template writes
	// some letters of an address in another way, and what was kept is for this one.
	Exact           template.HTMLAttr
	Step, Serial    int
	Fields          []flows.FormField
	Key, Back, Kept string
	// Problem is above the form, Trouble in front of the title: a screen reader says that first.
	Problem, Wait, Trouble string
	Inputs                 []Input
	// Choices stand behind the submit button. Files: a widget is a download, and its
	// button belongs to the form of that id.
	Choices []Input
	Files   bool
	// Auto: the page is submitted by itself, by the button of id onward.
	Auto                     bool
	Submit, SubmitLabel      string
	Or, OtherWays            string
	NoScript, ContinueButton string
	// Me is the account page.
	Me *Account
}

func (s *Set) render(lang, nonce string, v *View) ([]byte, error) {
	kind := v.kind()
	t := s.templates[file(kind)]
	if t == nil {
		return nil, fmt.Errorf("no template for page %s", kind)
	}
	c := s.texts[lang]
	seen := *v
	seen.Kind = kind
	d := s.data(c, &seen)
	d.Lang, d.Nonce = lang, nonce
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, frame, d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (s *Set) data(c catalogue, v *View) *Data {
	d := &Data{
		Title: s.title, Heading: c.heading(v), Logo: s.logo, Style: s.style,
		Kind: string(v.Kind), Reason: string(v.Reason), Sentence: c.sentence(v), Text: v.Text,
		ID: v.ID, User: v.User, Link: safeLink(v.Link), LinkLabel: c.link(v), Top: v.Kind == KindLoginRequired,
		Action: safeLink(v.Action), Token: v.Token, Step: v.Step, Serial: v.Serial,
		Fields: v.Fields, Key: v.Key, Back: v.Back, Kept: safeLink(v.Kept), Or: c["label.or"], OtherWays: c["label.other_ways"], NoScript: c["body.noscript"], ContinueButton: c["label.continue"],
	}
	if t := c.cause(v); t != "" && d.Text == "" {
		d.Text = t
	}
	if v.Kind == KindKeep && d.Link != "" {
		d.Refresh = refresh(d.Link)
	}
	for _, s := range scriptsOf(v) {
		d.Script += s.element
	}
	if v.Kind == KindSendAgain {
		d.Exact = template.HTMLAttr(`action="` + template.HTMLEscapeString(d.Action) + `"`) //nolint:gosec // escaped
	}
	if v.ID != "" {
		d.Reference = c["label.reference"]
	}
	if v.User != "" {
		d.Account = c["label.signed_in_as"]
	}
	if v.RetryAfter > 0 {
		d.Retry = seconds(c, "body.retry", v.RetryAfter)
	}
	if v.Kind == KindConfirmLogout {
		d.Submit, d.SubmitLabel = "sign_out", c.label("sign_out")
	}
	if v.Kind == KindArrived {
		d.Submit, d.SubmitLabel = "continue", c.label("continue")
	}
	if v.Kind == KindAccount {
		d.Me = c.account(v.Account)
	}
	if v.Kind == KindAsk && v.Page != nil {
		c.widgets(d, v.Page)
	}
	return d
}

func seconds(c catalogue, code string, n int) string {
	if n == 1 {
		code += "_one"
	}
	return strings.ReplaceAll(c[code], "{n}", strconv.Itoa(n))
}

// safeLink passes paths of this host and http(s) addresses; everything else,
// `javascript:` and `//host` among it, becomes "" (B7).
func safeLink(s string) string {
	// Browsers read a backslash as a slash and drop tabs and line breaks.
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	switch {
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//"):
		return s
	case (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil:
		return s
	}
	return ""
}
