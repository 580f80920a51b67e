// Package consent is the step that has people agree to a document.
package consent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Consent{})
}

// Consent shows a document to who has not agreed to this version of it, and refuses
// who declines. What somebody agreed to is kept with the time; the trail has it first,
// with the SHA-256 of the text that was shown. A new version asks everybody again at
// their next login; a text that changes under the same version asks nobody.
type Consent struct {
	// The name of the document: one for all flows that ask for it.
	Document string `json:"document"`
	// Its version, compared as it is written.
	Version string `json:"version"`
	// What it is called on the page; default: its name.
	Title string `json:"title,omitempty"`
	// The text; a blank line ends a paragraph.
	Text string `json:"text,omitempty"`
	// A file with the text, read when the config is loaded; at most 64 KiB of UTF-8.
	File string `json:"file,omitempty"`
	// Where it can be read in full. One of the text, the file and this is needed.
	URL string `json:"url,omitempty"`
	// The file and line it was written at.
	Source string `json:"source,omitempty"`

	text, sum string
	notes     flows.Notes[given]
	now       func() time.Time
}

// maxText is the longest document on a page.
const maxText = 64 << 10

// CaddyModule returns the Caddy module information.
func (Consent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.steps.consent", New: func() caddy.Module { return new(Consent) }}
}

// Provision reads the file.
func (c *Consent) Provision(caddy.Context) error {
	if c.File == "" {
		return nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("consent %s: %w", c.Document, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return fmt.Errorf("consent %s: %w", c.Document, err)
	}
	c.text = strings.ReplaceAll(string(b), "\r\n", "\n")
	if err := judgeText(c.text); err != nil {
		return fmt.Errorf("consent %s: %s: %w", c.Document, c.File, err)
	}
	return nil
}

// Validate refuses what does not depend on other guests.
func (c *Consent) Validate() error {
	switch {
	case !flows.ValidName(c.Document):
		return fmt.Errorf("consent: '%s' cannot name a document: [a-z0-9_-]+", c.Document)
	case c.Version == "" || len(c.Version) > 64:
		return fmt.Errorf("consent %s: a version has 1 to 64 characters, as in: consent %s 3", c.Document, c.Document)
	case c.Text != "" && c.File != "":
		return fmt.Errorf("consent %s has both a text and a file", c.Document)
	case c.Text == "" && c.File == "" && c.URL == "":
		return fmt.Errorf("consent %s shows nothing to agree to: it needs text, file or url", c.Document)
	}
	if c.Text != "" {
		if err := judgeText(c.Text); err != nil {
			return fmt.Errorf("consent %s: %w", c.Document, err)
		}
	}
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		return fmt.Errorf("consent %s: '%s' is no address such as https://example.com/terms", c.Document, c.URL)
	}
	return nil
}

func judgeText(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("the text is empty")
	case len(text) > maxText:
		return fmt.Errorf("the text is longer than %d KiB; show a summary and the whole by url", maxText>>10)
	case !utf8.ValidString(text):
		return errors.New("the text is not UTF-8")
	}
	return nil
}

// Bind takes the place where consents are kept.
func (c *Consent) Bind(r flows.Registry) error {
	c.notes, c.now = flows.Notes[given]{Vault: r.Vault("consent"), What: "consents"}, r.Now
	if c.File == "" {
		c.text = c.Text
	}
	sum := sha256.Sum256([]byte(c.text + "\x00" + c.URL))
	c.sum = hex.EncodeToString(sum[:])
	return nil
}

// The answers of the page.
const (
	agree   = "agree"
	decline = "decline"
)

// Enter goes on for who agreed to this version before, and asks everybody else.
func (c *Consent) Enter(ctx context.Context, x *flows.Execution) (flows.Outcome, error) {
	if x.User == nil {
		return nil, errors.New("consent: nobody has signed in yet")
	}
	if !x.User.Transient { // who is somebody else tomorrow is asked each time (I04)
		given, err := c.notes.Of(ctx, x.User.Key)
		if err != nil {
			return nil, err
		}
		if given[c.Document].Version == c.Version {
			return flows.Continue(), nil
		}
	}
	return c.ask(x)
}

// ask shows the document, and remembers which text it was.
func (c *Consent) ask(x *flows.Execution) (flows.Outcome, error) {
	return flows.Ask(c.page()), x.Keep(c.sum)
}

// Resume takes the answer. Only the button that says so is an agreement, and only to
// the text that was shown.
func (c *Consent) Resume(ctx context.Context, x *flows.Execution, in flows.Input) (flows.Outcome, error) {
	var shown string
	if _, err := x.Kept(&shown); err != nil {
		return nil, err
	}
	switch answer := in.Value("answer"); {
	case answer == decline:
		return flows.Deny(flows.Denial{Reason: flows.ReasonConsentDeclined, Source: c.Source}), nil
	case answer != agree || shown != c.sum:
		return c.ask(x)
	}
	if err := c.keep(ctx, x); err != nil {
		return nil, err
	}
	return flows.Continue(), nil
}

// Show draws the page again.
func (c *Consent) Show(context.Context, *flows.Execution) (flows.Page, error) { return c.page(), nil }

func (c *Consent) page() flows.Page {
	title := c.Title
	if title == "" {
		title = c.Document
	}
	return flows.Page{Kind: "consent", Widgets: []flows.Widget{
		flows.Terms{Title: title, Version: c.Version, Text: c.text, URL: c.URL},
		flows.Choice{Name: "answer", Value: agree, Label: "agree"},
		flows.Choice{Name: "answer", Value: decline, Label: "decline"},
	}}
}

// Conditions say that somebody must have signed in before.
func (c *Consent) Conditions() []flows.Named { return []flows.Named{needsUser(c.Source)} }

type needsUser string

func (needsUser) Reads() []string  { return []string{"user.key"} }
func (n needsUser) Source() string { return string(n) }

// SourceLine is the file and line.
func (c *Consent) SourceLine() string { return c.Source }

var (
	_ flows.Resumer         = (*Consent)(nil)
	_ flows.Shower          = (*Consent)(nil)
	_ flows.Binder          = (*Consent)(nil)
	_ flows.Consumer        = (*Consent)(nil)
	_ flows.Keeper          = (*Consent)(nil)
	_ flows.Sourced         = (*Consent)(nil)
	_ caddy.Provisioner     = (*Consent)(nil)
	_ caddy.Validator       = (*Consent)(nil)
	_ caddyfile.Unmarshaler = (*Consent)(nil)
)
