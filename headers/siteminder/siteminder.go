// Package siteminder sends the headers that applications behind a SiteMinder
// web agent expect.
package siteminder

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
)

func init() { caddy.RegisterModule(Dialect{}) }

// Dialect is the guest `identity.headers.siteminder`. A header without a value
// is absent, and text is UTF-8 as it is, as the web agent sends it.
type Dialect struct {
	// LegacyVariables writes names with an underscore (SM_USER), as the agent does
	// by default; off writes SMUSER. Default true.
	LegacyVariables *bool `json:"legacy_variables,omitempty"`
	// Groups adds SM_USERGROUPS: the full DNs of the groups (attribute group_dns;
	// without it the groups' names) joined by ^. Default false.
	Groups bool `json:"groups,omitempty"`
	// UserDN is the attribute in SM_USERDN. Default: dn, without it user_dn.
	UserDN string `json:"user_dn,omitempty"`
	// UniversalID is the attribute in SM_UNIVERSALID. Default: subject.
	UniversalID string `json:"universal_id,omitempty"`
	// AuthType is the text of SM_AUTHTYPE. Default: Form for a password, else the
	// method of the newest evidence as it is.
	AuthType string `json:"auth_type,omitempty"`
	// Directory is the text of SM_AUTHDIRNAME. Default: the provider's name.
	Directory string `json:"directory,omitempty"`
	// Realm is the text of SM_REALM. Default: the header is not sent.
	Realm string `json:"realm,omitempty"`
	// How values become headers. Defaults here: encode raw, join ^.
	flows.HeaderOptions
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.siteminder", New: func() caddy.Module { return new(Dialect) }}
}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	if d.Encode == "" {
		d.Encode = "raw"
	}
	if d.Join == "" {
		d.Join = "^"
	}
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	for word, text := range map[string]string{"auth_type": d.AuthType, "directory": d.Directory, "realm": d.Realm} {
		for _, r := range text {
			if r < ' ' || r == 0x7f {
				return fmt.Errorf("%s holds a control character", word)
			}
		}
	}
	return d.HeaderOptions.Validate()
}

// bare are the names the agent has without an underscore. They are owned one
// by one: not every header that begins with "sm" is SiteMinder's.
var bare = []string{
	"SMUSER", "SMUSERDN", "SMUNIVERSALID", "SMAUTHTYPE", "SMAUTHDIRNAME", "SMAUTHDIROID",
	"SMAUTHDIRNAMESPACE", "SMAUTHDIRSERVER", "SMAUTHREASON", "SMREALM", "SMREALMOID", "SMSDOMAIN",
	"SMSERVERSESSIONID", "SMSERVERSESSIONSPEC", "SMSERVERIDENTITYSPEC", "SMTIMETOEXPIRE", "SMTRANSACTIONID",
	"SMUSERGROUPS", "SMUSERMSG", "SMDOMINOCN",
}

// Owned is the whole family, in both spellings, whichever is sent.
func (d *Dialect) Owned() []string { return append([]string{"SM_*"}, bare...) }

// PerRequest are the two that differ from request to request.
func (d *Dialect) PerRequest() []string { return []string{d.timeToExpire(), d.transactionID()} }

func (d *Dialect) timeToExpire() string  { return d.name("SM_TIMETOEXPIRE", "SMTIMETOEXPIRE") }
func (d *Dialect) transactionID() string { return d.name("SM_TRANSACTIONID", "SMTRANSACTIONID") }

func (d *Dialect) name(legacy, plain string) string {
	if d.LegacyVariables == nil || *d.LegacyVariables {
		return legacy
	}
	return plain
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	o := d.HeaderOptions
	o.Single = true
	if d.wantsConstant(w) {
		if err := d.constant(f, w, o); err != nil {
			return err
		}
	}
	return d.perRequest(f, w)
}

// constants are the headers that stay the same while a session lasts.
var constants = [...]struct{ legacy, plain string }{
	{"SM_USER", "SMUSER"},
	{"SM_USERDN", "SMUSERDN"},
	{"SM_UNIVERSALID", "SMUNIVERSALID"},
	{"SM_AUTHTYPE", "SMAUTHTYPE"},
	{"SM_AUTHDIRNAME", "SMAUTHDIRNAME"},
	{"SM_SERVERSESSIONID", "SMSERVERSESSIONID"},
	{"SM_REALM", "SMREALM"},
	{"SM_USERGROUPS", "SMUSERGROUPS"},
}

func (d *Dialect) wantsConstant(w flows.HeaderWriter) bool {
	for _, c := range constants {
		if flows.Wants(w, d.name(c.legacy, c.plain)) {
			return true
		}
	}
	return false
}

func (d *Dialect) constant(f *flows.Facts, w flows.HeaderWriter, o flows.HeaderOptions) error {
	u, login := f.User, newest(f)
	dn, universal := d.userDN(u), d.universalID(u)
	for i, h := range [...]struct {
		value string
		o     flows.HeaderOptions
	}{
		{u.Name, d.ForLogin(u.Name)},
		{dn, d.ForLogin(dn)},
		{universal, d.ForLogin(universal)},
		{d.authType(login), o},
		{or(d.Directory, or(login.Provider, u.Provider)), o},
		{sessionID(f), o},
	} {
		if err := w.Set(d.name(constants[i].legacy, constants[i].plain), []string{h.value}, h.o); err != nil {
			return err
		}
	}
	if d.Realm != "" {
		if err := w.Set(d.name("SM_REALM", "SMREALM"), []string{d.Realm}, o); err != nil {
			return err
		}
	}
	if !d.Groups {
		return nil
	}
	return w.Set(d.name("SM_USERGROUPS", "SMUSERGROUPS"), groups(u), d.HeaderOptions)
}

// perRequest runs for every request: it works out only what is asked for. Both
// are plain ASCII, and no encoding is needed for them.
func (d *Dialect) perRequest(f *flows.Facts, w flows.HeaderWriter) error {
	o := flows.HeaderOptions{Single: true}
	var use struct { // on the heap, but once
		value [1]string
		id    [16]byte
	}
	if n := d.timeToExpire(); f.Session != nil && !f.Session.Expires.IsZero() && flows.Wants(w, n) {
		left := max(f.Session.Expires.Sub(f.Now), 0) / time.Second
		use.value[0] = strconv.FormatInt(int64(left), 10)
		if err := w.Set(n, use.value[:], o); err != nil {
			return err
		}
	}
	if n := d.transactionID(); flows.Wants(w, n) {
		_, _ = rand.Read(use.id[:]) // never fails: crypto/rand ends the process instead
		var text [2 * len(use.id)]byte
		hex.Encode(text[:], use.id[:])
		use.value[0] = string(text[:])
		return w.Set(n, use.value[:], o)
	}
	return nil
}

func (d *Dialect) userDN(u *flows.User) string {
	if d.UserDN != "" {
		return attribute(u, d.UserDN)
	}
	return or(attribute(u, "dn"), attribute(u, "user_dn"))
}

func (d *Dialect) universalID(u *flows.User) string {
	return attribute(u, or(d.UniversalID, "subject"))
}

func (d *Dialect) authType(login flows.Evidence) string {
	switch {
	case d.AuthType != "":
		return d.AuthType
	case login.Method == "password":
		return "Form"
	}
	return login.Method
}

func groups(u *flows.User) []string {
	v, _ := u.Attribute("group_dns")
	if dns, _ := flows.Strings(v); len(dns) > 0 {
		return dns
	}
	return u.Groups
}

// attribute is the first value: these headers hold one.
func attribute(u *flows.User, name string) string {
	v, _ := u.Attribute(name)
	if s, _ := flows.Strings(v); len(s) > 0 {
		return s[0]
	}
	return ""
}

// newest is the evidence last given; a trusted device is none (I03).
func newest(f *flows.Facts) (n flows.Evidence) {
	for _, e := range f.Evidence {
		if e.Kind != flows.DeviceTrust && !e.At.Before(n.At) {
			n = e
		}
	}
	return n
}

// sessionID is the public id: stable while the session lives, and good for nothing else (I13).
func sessionID(f *flows.Facts) string {
	if f.Session == nil {
		return ""
	}
	return f.Session.ID
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	siteminder {
//	    legacy_variables on|off
//	    groups           on|off
//	    user_dn          <attribute>
//	    universal_id     <attribute>
//	    auth_type        <text>
//	    directory        <text>
//	    realm            <text>
//	    join             <separator>
//	    encode           auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing          omit|empty|<text>
//	    max              <bytes>
//	    quote            <mark>
//	    escape           <mark>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	t.Next() // the dialect's name
	if t.NextArg() {
		return t.Errf("siteminder takes no argument, got %q; its options stand in a block", t.Val())
	}
	seen := map[string]bool{}
	for nesting := t.Nesting(); t.NextBlock(nesting); {
		word := t.Val()
		if seen[word] {
			return t.Errf("%s is written twice", word)
		}
		seen[word] = true
		if err := d.option(t, word); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dialect) option(t *caddyfile.Dispenser, word string) error {
	args := t.RemainingArgs()
	if known, err := d.SetOption(word, args); known {
		return wrap(t, err)
	}
	texts := map[string]*string{
		"user_dn": &d.UserDN, "universal_id": &d.UniversalID,
		"auth_type": &d.AuthType, "directory": &d.Directory, "realm": &d.Realm,
	}
	to, isText := texts[word]
	if !isText && word != "legacy_variables" && word != "groups" {
		return t.Errf("unknown option '%s' of siteminder; there are: legacy_variables, groups, user_dn, universal_id, "+
			"auth_type, directory, realm, join, encode, missing, max, quote, escape", word)
	}
	if len(args) != 1 || args[0] == "" {
		return t.Errf("%s takes exactly one argument, got %d", word, len(args))
	}
	if isText {
		*to = args[0]
		return wrap(t, d.Validate())
	}
	if args[0] != "on" && args[0] != "off" {
		return t.Errf("%s must be on or off, got '%s'", word, args[0])
	}
	on := args[0] == "on"
	if word == "groups" {
		d.Groups = on
	} else {
		d.LegacyVariables = &on
	}
	return nil
}

// wrap adds the file and the line; WrapErr would add them to nil as well.
func wrap(t *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return t.WrapErr(err)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
)
