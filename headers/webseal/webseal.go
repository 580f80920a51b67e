// Package webseal sends the headers that applications behind a WebSEAL junction
// expect.
package webseal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.webseal`: iv-user, iv-user-l and iv-groups
// with every group in quotes. iv-creds, which only WebSEAL itself can make, is not
// sent. A header without a value is absent.
type Dialect struct {
	// Send are the headers that go out. Default: iv-user, iv-user-l and iv-groups.
	Send []string `json:"send,omitempty"`
	// UserDN is the attribute in iv-user-l. Default: dn, without it user_dn.
	UserDN string `json:"user_dn,omitempty"`
	// Anonymous is what iv-user says where the application is not told who is there;
	// off sends nothing. Default: Unauthenticated.
	Nobody string `json:"anonymous,omitempty"`
	// Headers filled from attributes of the user, as HTTP-Tag-Value did.
	flows.Mapping
	// How values become headers. Defaults here: encode utf8_uri, join , and quote ".
	// The local code page of lcp_uri and lcp_bin is ISO 8859-1.
	flows.HeaderOptions
	// What ends a session beside /pkmslogout.
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.webseal", New: func() caddy.Module { return new(Dialect) }}
}

// defaults are those of a junction.
var defaults = flows.HeaderOptions{Encode: "utf8_uri", Join: ",", Quote: `"`}

// encodings are the arguments of a junction's option -e.
var encodings = []string{"utf8_uri", "utf8_bin", "lcp_uri", "lcp_bin"}

// names are what a junction's option -c can send, save the credential.
var names = []string{"iv-user", "iv-user-l", "iv-groups"}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	if len(d.Send) == 0 {
		d.Send = names
	}
	if d.Nobody == "" {
		d.Nobody = "Unauthenticated"
	}
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	for _, n := range d.Send {
		if !slices.Contains(names, n) {
			return fmt.Errorf("send: no header is called '%s'; there are: iv-user, iv-user-l, iv-groups", n)
		}
	}
	for _, r := range d.Nobody {
		if r < ' ' || r > '~' {
			return errors.New("anonymous must be printable ASCII")
		}
	}
	o := d.Or(defaults)
	return errors.Join(o.Validate(encodings...), d.Mapping.Validate(), d.Leaving.Validate())
}

// Owned is the whole family, whichever is sent, and what is mapped.
func (d *Dialect) Owned() []string { return slices.Concat([]string{"iv-*"}, d.Names()) }

// PerRequest is empty: nothing changes while a session lasts.
func (d *Dialect) PerRequest() []string { return nil }

// Encodings are those of a junction.
func (d *Dialect) Encodings() []string { return encodings }

// Leave is the address of WebSEAL's own that ended sessions, and its cookies.
func (d *Dialect) Leave() flows.Leave {
	return d.Leaving.Leave([]string{"PD-S-SESSION-ID", "PD-H-SESSION-ID"}, flows.LeavePath{Path: "/pkmslogout"})
}

// Anonymous writes the name that WebSEAL gave to nobody.
func (d *Dialect) Anonymous(w flows.HeaderWriter) error {
	if d.Nobody == "off" || !slices.Contains(d.Send, "iv-user") {
		return nil
	}
	return w.Set("iv-user", []string{d.Nobody}, d.ForLogin(d.Nobody))
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	u, dn := f.User, d.userDN(f.User)
	for _, n := range d.Send {
		var err error
		switch n {
		case "iv-user":
			err = w.Set(n, []string{u.Name}, d.ForLogin(u.Name))
		case "iv-user-l":
			err = w.Set(n, []string{dn}, d.ForLogin(dn))
		case "iv-groups":
			err = w.Set(n, u.Groups, d.HeaderOptions)
		}
		if err != nil {
			return err
		}
	}
	return d.Write(u, w, d.HeaderOptions)
}

func (d *Dialect) userDN(u *flows.User) string {
	if d.UserDN != "" {
		return flows.First(u.Lookup(d.UserDN))
	}
	return cmp.Or(flows.First(u.Lookup("dn")), flows.First(u.Lookup("user_dn")))
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	webseal {
//	    send         iv-user|iv-user-l|iv-groups…
//	    user_dn      <attribute>
//	    anonymous    <text>|off
//	    attribute    <Header> <attribute>
//	    join         <separator>
//	    encode       utf8_uri|utf8_bin|lcp_uri|lcp_bin|auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing      omit|empty|<text>
//	    max          <bytes>
//	    quote        <mark>
//	    escape       <mark>
//	    wrap         on|off
//	    logout       <path…>
//	    clear_cookie <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{
		{Word: "send", Set: func(args []string) error {
			if len(args) == 0 {
				return errors.New("send takes at least one header")
			}
			d.Send = args
			return nil
		}},
		flows.TextOption("user_dn", &d.UserDN),
		flows.TextOption("anonymous", &d.Nobody),
	}, &d.Mapping, d.HeaderOptions.Words(encodings...), &d.Leaving)
}

var (
	_ caddy.Provisioner      = (*Dialect)(nil)
	_ caddy.Validator        = (*Dialect)(nil)
	_ caddyfile.Unmarshaler  = (*Dialect)(nil)
	_ flows.Dialect          = (*Dialect)(nil)
	_ flows.Leaver           = (*Dialect)(nil)
	_ flows.Encoder          = (*Dialect)(nil)
	_ flows.AnonymousDialect = (*Dialect)(nil)
)
