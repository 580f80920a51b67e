// Package recovery is the factor for a lost phone: codes on paper, each good once.
package recovery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(Recovery{})
}

// Recovery hands out ten codes once another factor is set up. Each stands in
// for that factor once. Only salted hashes of them are kept.
type Recovery struct{}

const (
	// count is how many codes are handed out.
	count = 10
	// length is that of a code in base32 letters: 80 bits, so that a hash of it cannot
	// be guessed back (NIST SP 800-63B §5.1.2.2 asks for 20, and a salt below 112).
	length = 16
	group  = 4
)

// CaddyModule returns the Caddy module information.
func (Recovery) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.factors.recovery", New: func() caddy.Module { return new(Recovery) }}
}

// sheet is what a record keeps.
type sheet struct {
	Salt []byte `json:"salt"`
	// Hashes are of the codes that are left.
	Hashes [][]byte `json:"hashes"`
}

func (s *sheet) hash(code string) []byte {
	h := sha256.Sum256(append(slices.Clone(s.Salt), code...))
	return h[:]
}

// index finds a code among those that are left, looking at all of them.
func (s *sheet) index(code string) int {
	want, at := s.hash(code), -1
	for i, h := range s.Hashes {
		if subtle.ConstantTimeCompare(h, want) == 1 {
			at = i
		}
	}
	return at
}

// Spare: it stands in for others only.
func (*Recovery) Spare() {}

// Labels are its buttons; who has codes is handed out new ones.
func (*Recovery) Labels() (use, setUp string) { return "use_recovery", "set_up_recovery" }

// Begin has nothing to send.
func (*Recovery) Begin(context.Context, *flows.Challenge) error { return nil }

// Draw asks for a code.
func (*Recovery) Draw(*flows.Challenge) flows.Page {
	return flows.Page{Kind: "recovery", Submit: "continue", Widgets: []flows.Widget{
		flows.Note{Code: "recovery_enter"},
		flows.Code{Name: "code", Label: "recovery_code", Autofocus: true},
	}}
}

// Verify finds a code that is left; using it strikes it out, once (M6).
func (*Recovery) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	code := letters(in.Value("code"))
	if len(code) != length {
		return flows.Verdict{}, flows.ErrCredentials
	}
	for _, r := range c.Records {
		var s sheet
		if err := json.Unmarshal(r.Data, &s); err != nil {
			return flows.Verdict{}, fmt.Errorf("recovery: record %s: %w", r.ID, err)
		}
		if s.index(code) >= 0 {
			return flows.Verdict{Record: r.ID, AMR: []string{"otp"}, Use: func(old flows.Record) (flows.Record, error) { return strike(old, code) }}, nil
		}
	}
	return flows.Verdict{}, flows.ErrCredentials
}

// strike takes a code off the record as it is now.
func strike(r flows.Record, code string) (flows.Record, error) {
	var s sheet
	if err := json.Unmarshal(r.Data, &s); err != nil {
		return r, err
	}
	i := s.index(code)
	if i < 0 {
		return r, flows.ErrReplayed
	}
	s.Hashes = slices.Delete(s.Hashes, i, i+1)
	b, err := json.Marshal(s)
	r.Data = b
	return r, err
}

// BeginEnrol makes the codes.
func (*Recovery) BeginEnrol(_ context.Context, c *flows.Challenge) error {
	codes := make([]string, count)
	for i := range codes {
		codes[i] = rand.Text()[:length]
	}
	return c.Keep(codes)
}

// DrawEnrol shows them, and asks for a word that they were written down.
func (*Recovery) DrawEnrol(c *flows.Challenge) flows.Page {
	var codes []string
	_ = c.Kept(&codes) // an empty page is not taken for set up: Enrol refuses it
	for i, code := range codes {
		var parts []string
		for part := range slices.Chunk([]byte(code), group) {
			parts = append(parts, string(part))
		}
		codes[i] = strings.Join(parts, "-")
	}
	return flows.Page{Kind: "recovery_enrol", Submit: "codes_saved", Widgets: []flows.Widget{
		flows.Note{Code: "recovery_save"},
		flows.Codes{Codes: codes, Label: "recovery_codes"},
		flows.Download{Label: "save_codes", Name: "recovery-codes.txt", Type: "text/plain; charset=utf-8", Data: []byte(strings.Join(codes, "\r\n") + "\r\n")},
	}}
}

// Enrol keeps their hashes. They are shown to somebody who proved another factor
// in this very run.
func (*Recovery) Enrol(_ context.Context, c *flows.Challenge, _ flows.Input) (flows.Record, []string, error) {
	var codes []string
	if err := c.Kept(&codes); err != nil || len(codes) != count {
		return flows.Record{}, nil, errors.New("recovery: no codes were made")
	}
	s := sheet{Salt: []byte(rand.Text())}
	for _, code := range codes {
		s.Hashes = append(s.Hashes, s.hash(code))
	}
	b, err := json.Marshal(s)
	return flows.Record{Data: b}, nil, err
}

// letters reads a code as people type it. Base32 has no 0, 1 and 8: they are
// taken for the letters that look like them.
func letters(code string) string {
	return strings.NewReplacer("-", "", " ", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(strings.TrimSpace(code)))
}

// UnmarshalCaddyfile sets up the factor from Caddyfile tokens. Syntax:
//
//	factor recovery
func (*Recovery) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind
	if d.NextArg() {
		return d.Errf("factor recovery takes no argument; '%s' is too much", d.Val())
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("factor recovery has no option, but there is '%s'", d.Val())
	}
	return nil
}

var (
	_ flows.Spare           = (*Recovery)(nil)
	_ caddyfile.Unmarshaler = (*Recovery)(nil)
)
