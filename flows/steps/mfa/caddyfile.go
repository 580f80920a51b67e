package mfa

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	mfa <factor>... {
//	    enroll require|allow|deny
//	}
func (m *MFA) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the step
	m.Source = fmt.Sprintf("%s:%d", filepath.Base(d.File()), d.Line())
	for d.NextArg() {
		if slices.Contains(m.Factors, d.Val()) {
			return d.Errf("factor '%s' is there twice", d.Val())
		}
		m.Factors = append(m.Factors, d.Val())
	}
	if len(m.Factors) == 0 {
		return d.Err("mfa wants one or more factors: mfa totp recovery")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "enroll":
			if m.Enroll != "" {
				return d.Err("enroll is there twice")
			}
			if !d.NextArg() {
				return d.Err("enroll is require, allow or deny")
			}
			switch d.Val() {
			case enrollRequire, enrollAllow, enrollDeny:
				m.Enroll = d.Val()
			default:
				return d.Errf("enroll is require, allow or deny, not '%s'", d.Val())
			}
			if d.NextArg() {
				return d.Errf("enroll takes one word; '%s' is too much", d.Val())
			}
		default:
			return d.Errf("mfa has no option '%s'; there is: enroll", d.Val())
		}
	}
	return nil
}
