// Package totp is the factor of authenticator apps: time-based one-time
// passwords (RFC 6238).
package totp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() {
	caddy.RegisterModule(TOTP{})
}

// TOTP asks for the six digits an authenticator app shows. What every such app
// understands is fixed: SHA-1, six digits, thirty seconds; a step before or after
// is accepted, and each step of a secret once.
type TOTP struct {
	// The name under which the app lists the account; default: the host of the page.
	Issuer string `json:"issuer,omitempty"`
}

const (
	period = 30
	// skew is how many steps a clock may be off (RFC 6238 §5.2).
	skew = 1
	// secretSize is that of the hash, in bytes (RFC 4226 §4, R6).
	secretSize = 20
)

var options = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// CaddyModule returns the Caddy module information.
func (TOTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.factors.totp", New: func() caddy.Module { return new(TOTP) }}
}

// Validate refuses a name that would not fit into the app's own address.
func (t *TOTP) Validate() error {
	if strings.Contains(t.Issuer, ":") {
		return fmt.Errorf("totp: issuer '%s' must not contain a colon: it ends the name in the app", t.Issuer)
	}
	return nil
}

// secret is what a record keeps.
type secret struct {
	// Key is in base32.
	Key string `json:"key"`
	// Step is the last one that was used: it and all before are spent.
	Step int64 `json:"step"`
}

// offer is what is being set up.
type offer struct {
	Key string `json:"key"`
	URL string `json:"url"`
}

// Labels are its buttons.
func (*TOTP) Labels() (use, setUp string) { return "use_totp", "set_up_totp" }

// Begin has nothing to send.
func (t *TOTP) Begin(context.Context, *flows.Challenge) error { return nil }

// Draw asks for the code.
func (t *TOTP) Draw(*flows.Challenge) flows.Page {
	return flows.Page{Kind: "totp", Submit: "continue", Widgets: []flows.Widget{
		flows.Note{Code: "totp_open_app"},
		flows.Code{Name: "code", Label: "code", Digits: 6, Autofocus: true},
	}}
}

// Verify finds the step a code belongs to. A step is used once, and none before
// it afterwards, whichever node and session asks (M1).
func (t *TOTP) Verify(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Verdict, error) {
	code := digits(in.Value("code"))
	for _, r := range c.Records {
		var s secret
		if err := json.Unmarshal(r.Data, &s); err != nil {
			return flows.Verdict{}, fmt.Errorf("totp: record %s: %w", r.ID, err)
		}
		step, ok, err := match(s.Key, code, c.Now)
		if err != nil {
			return flows.Verdict{}, fmt.Errorf("totp: record %s: %w", r.ID, err)
		}
		if ok {
			return flows.Verdict{Record: r.ID, AMR: []string{"otp"}, Use: func(old flows.Record) (flows.Record, error) { return spend(old, step) }}, nil
		}
	}
	return flows.Verdict{}, flows.ErrCredentials
}

// match compares with every step in the window, always all of them.
func match(key, code string, now time.Time) (step int64, found bool, err error) {
	at := now.Unix() / period
	for s := at - skew; s <= at+skew; s++ {
		ok, err := hotp.ValidateCustom(code, uint64(s), key, options) //nolint:gosec // a time after 1970
		switch {
		case errors.Is(err, otp.ErrValidateInputInvalidLength):
			return 0, false, nil
		case err != nil:
			return 0, false, err
		case ok:
			step, found = s, true
		}
	}
	return step, found, nil
}

// spend notes a step on the record as it is now.
func spend(r flows.Record, step int64) (flows.Record, error) {
	var s secret
	if err := json.Unmarshal(r.Data, &s); err != nil {
		return r, err
	}
	if step <= s.Step {
		return r, flows.ErrReplayed
	}
	s.Step = step
	b, err := json.Marshal(s)
	r.Data = b
	return r, err
}

// BeginEnrol makes a secret.
func (t *TOTP) BeginEnrol(_ context.Context, c *flows.Challenge) error {
	issuer := t.Issuer
	if issuer == "" {
		_, host, _ := strings.Cut(c.Origin, "://")
		issuer, _, _ = strings.Cut(host, ":")
	}
	k, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: strings.ReplaceAll(c.User.Name, ":", "."), SecretSize: secretSize, Period: period, Digits: options.Digits, Algorithm: options.Algorithm})
	if err != nil {
		return fmt.Errorf("totp: making a secret: %w", err)
	}
	return c.Keep(offer{Key: k.Secret(), URL: k.URL()})
}

// DrawEnrol shows the secret, for a camera and for fingers, and asks for a code of it.
func (t *TOTP) DrawEnrol(c *flows.Challenge) flows.Page {
	var o offer
	_ = c.Kept(&o) // an empty page is not taken for set up: Enrol refuses it
	return flows.Page{Kind: "totp_enrol", Submit: "continue", Widgets: []flows.Widget{
		flows.Note{Code: "totp_scan"},
		flows.QR{Text: o.URL, Manual: grouped(o.Key), Label: "totp_manual"},
		flows.Code{Name: "code", Label: "code", Digits: 6, Autofocus: true},
	}}
}

// Enrol takes a first code as the sign that the app has the secret.
func (t *TOTP) Enrol(_ context.Context, c *flows.Challenge, in flows.Input) (flows.Record, []string, error) {
	var o offer
	if err := c.Kept(&o); err != nil || o.Key == "" {
		return flows.Record{}, nil, errors.New("totp: nothing was offered")
	}
	step, ok, err := match(o.Key, digits(in.Value("code")), c.Now)
	switch {
	case err != nil:
		return flows.Record{}, nil, fmt.Errorf("totp: %w", err)
	case !ok:
		return flows.Record{}, nil, flows.ErrCredentials
	}
	b, err := json.Marshal(secret{Key: o.Key, Step: step})
	return flows.Record{Data: b}, []string{"otp"}, err
}

// digits drops the blanks that people and apps put in the middle.
func digits(code string) string { return strings.Join(strings.Fields(code), "") }

// grouped is easier to type.
func grouped(key string) string {
	var b strings.Builder
	for i, r := range key {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// UnmarshalCaddyfile sets up the factor from Caddyfile tokens. Syntax:
//
//	factor totp {
//	    issuer <name>
//	}
func (t *TOTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the kind
	if d.NextArg() {
		return d.Errf("factor totp takes no argument; '%s' is too much", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "issuer":
			if t.Issuer != "" {
				return d.Err("issuer is there twice")
			}
			if !d.NextArg() || d.Val() == "" {
				return d.Err("issuer wants the name that the app shows")
			}
			t.Issuer = d.Val()
			if d.NextArg() {
				return d.Errf("issuer takes one name; '%s' is too much (write it in quotes)", d.Val())
			}
		default:
			return d.Errf("factor totp has no option '%s'; there is: issuer", d.Val())
		}
	}
	return nil
}

var (
	_ flows.Enroller        = (*TOTP)(nil)
	_ caddy.Validator       = (*TOTP)(nil)
	_ caddyfile.Unmarshaler = (*TOTP)(nil)
)
