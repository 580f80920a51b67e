package mfa

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile sets up the step from Caddyfile tokens. Syntax:
//
//	mfa <factor>... {
//	    remember <duration>
//	    enroll   require|allow|deny
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
			if err := m.parseEnroll(d); err != nil {
				return err
			}
		case "remember":
			if err := m.parseRemember(d); err != nil {
				return err
			}
		default:
			return d.Errf("mfa has no option '%s'; there are: enroll, remember", d.Val())
		}
	}
	return nil
}

func (m *MFA) parseEnroll(d *caddyfile.Dispenser) error {
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
	return nil
}

func (m *MFA) parseRemember(d *caddyfile.Dispenser) error {
	if m.Remember != 0 {
		return d.Err("remember is there twice")
	}
	if !d.NextArg() {
		return d.Err("remember wants a time: remember 30d")
	}
	t, err := caddy.ParseDuration(d.Val())
	if err != nil {
		return d.Errf("remember wants a time such as 30d, not '%s'", d.Val())
	}
	if err := validRemember(t); err != nil || t == 0 {
		return d.Errf("remember is from 1h to 365d in whole hours, not '%s'", d.Val())
	}
	m.Remember = caddy.Duration(t)
	if d.NextArg() {
		return d.Errf("remember takes one time; '%s' is too much", d.Val())
	}
	return nil
}
