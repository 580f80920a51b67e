// Package siteminder sends the headers that applications behind a SiteMinder
// web agent expect.
package siteminder

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	// DirectoryOID is the text of SM_AUTHDIROID. Default: the header is not sent.
	DirectoryOID string `json:"directory_oid,omitempty"`
	// DirectoryNamespace is the text of SM_AUTHDIRNAMESPACE, such as LDAP:. Default:
	// the header is not sent.
	DirectoryNamespace string `json:"directory_namespace,omitempty"`
	// DirectoryServer is the text of SM_AUTHDIRSERVER. Default: the header is not sent.
	DirectoryServer string `json:"directory_server,omitempty"`
	// Realm is the text of SM_REALM. Default: the header is not sent.
	Realm string `json:"realm,omitempty"`
	// RealmOID is the text of SM_REALMOID. Default: the header is not sent.
	RealmOID string `json:"realm_oid,omitempty"`
	// Domain is the text of SM_SDOMAIN. Default: the header is not sent.
	Domain string `json:"domain,omitempty"`
	// LogoffURI are the agent's LogOffUri: every path that begins with one of them
	// ends the session. Beside them does any *.fcc with smlogout=true in its query.
	LogoffURI []string `json:"logoff_uri,omitempty"`
	// How values become headers. Defaults here: encode raw, join ^.
	flows.HeaderOptions
	flows.Mapping
	flows.Leaving
}

// CaddyModule returns the module's description.
func (Dialect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.headers.siteminder", New: func() caddy.Module { return new(Dialect) }}
}

// defaults are how the web agent writes values.
var defaults = flows.HeaderOptions{Encode: "raw", Join: "^"}

// Provision fills in the defaults.
func (d *Dialect) Provision(caddy.Context) error {
	d.HeaderOptions = d.Or(defaults)
	return nil
}

// Validate checks what an operator may have written in JSON.
func (d *Dialect) Validate() error {
	for _, t := range d.texts() {
		for _, r := range t.text {
			if r < ' ' || r == 0x7f {
				return fmt.Errorf("%s holds a control character", t.word)
			}
		}
	}
	for _, p := range d.LogoffURI {
		if err := flows.ValidLeavePath(p); err != nil || p[0] != '/' {
			return fmt.Errorf("logoff_uri: '%s' must be a path that not every request begins with", p)
		}
	}
	o := d.Or(defaults)
	return errors.Join(o.Validate(), d.Mapping.Validate(), d.Leaving.Validate())
}

// texts are headers whose value an operator writes.
func (d *Dialect) texts() [8]struct{ word, text, legacy, plain string } {
	return [...]struct{ word, text, legacy, plain string }{
		{"auth_type", d.AuthType, "SM_AUTHTYPE", "SMAUTHTYPE"},
		{"directory", d.Directory, "SM_AUTHDIRNAME", "SMAUTHDIRNAME"},
		{"directory_oid", d.DirectoryOID, "SM_AUTHDIROID", "SMAUTHDIROID"},
		{"directory_namespace", d.DirectoryNamespace, "SM_AUTHDIRNAMESPACE", "SMAUTHDIRNAMESPACE"},
		{"directory_server", d.DirectoryServer, "SM_AUTHDIRSERVER", "SMAUTHDIRSERVER"},
		{"realm", d.Realm, "SM_REALM", "SMREALM"},
		{"realm_oid", d.RealmOID, "SM_REALMOID", "SMREALMOID"},
		{"domain", d.Domain, "SM_SDOMAIN", "SMSDOMAIN"},
	}
}

// bare are the names the agent has without an underscore. They are owned one
// by one: not every header that begins with "sm" is SiteMinder's.
var bare = []string{
	"SMUSER", "SMUSERDN", "SMUNIVERSALID", "SMAUTHTYPE", "SMAUTHDIRNAME", "SMAUTHDIROID",
	"SMAUTHDIRNAMESPACE", "SMAUTHDIRSERVER", "SMAUTHREASON", "SMREALM", "SMREALMOID", "SMSDOMAIN",
	"SMSERVERSESSIONID", "SMSERVERSESSIONSPEC", "SMSERVERIDENTITYSPEC", "SMTIMETOEXPIRE", "SMTRANSACTIONID",
	"SMUSERGROUPS", "SMUSERMSG", "SMDOMINOCN",
}

// Owned is the whole family, in both spellings, whichever is sent, and what is mapped.
func (d *Dialect) Owned() []string {
	return slices.Concat([]string{"SM_*"}, bare, d.Names())
}

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

// Leave is what the agent did at a logoff: LogOffUri is compared as a prefix.
func (d *Dialect) Leave() flows.Leave {
	paths := []flows.LeavePath{{Path: "*.fcc", Query: "smlogout=true"}}
	for _, p := range d.LogoffURI {
		paths = append(paths, flows.LeavePath{Path: strings.TrimSuffix(p, "*") + "*"})
	}
	return d.Leaving.Leave([]string{"SMSESSION"}, paths...)
}

// Headers writes them.
func (d *Dialect) Headers(f *flows.Facts, w flows.HeaderWriter) error {
	if d.wantsConstant(w) {
		if err := d.constant(f, w); err != nil {
			return err
		}
	}
	return d.perRequest(f, w)
}

// wantsConstant spares each request the work on what stays the same.
func (d *Dialect) wantsConstant(w flows.HeaderWriter) bool {
	for _, c := range constants {
		if flows.Wants(w, d.name(c.legacy, c.plain)) {
			return true
		}
	}
	for _, a := range d.Attributes {
		if flows.Wants(w, a.Header) {
			return true
		}
	}
	return false
}

// constants are the headers that stay the same while a session lasts.
var constants = [...]struct{ legacy, plain string }{
	{"SM_USER", "SMUSER"},
	{"SM_USERDN", "SMUSERDN"},
	{"SM_UNIVERSALID", "SMUNIVERSALID"},
	{"SM_AUTHTYPE", "SMAUTHTYPE"},
	{"SM_AUTHDIRNAME", "SMAUTHDIRNAME"},
	{"SM_SERVERSESSIONID", "SMSERVERSESSIONID"},
	{"SM_USERGROUPS", "SMUSERGROUPS"},
	{"SM_REALM", "SMREALM"},
	{"SM_REALMOID", "SMREALMOID"},
	{"SM_AUTHDIROID", "SMAUTHDIROID"},
	{"SM_AUTHDIRNAMESPACE", "SMAUTHDIRNAMESPACE"},
	{"SM_AUTHDIRSERVER", "SMAUTHDIRSERVER"},
	{"SM_SDOMAIN", "SMSDOMAIN"},
}

func (d *Dialect) constant(f *flows.Facts, w flows.HeaderWriter) error {
	o := d.HeaderOptions
	o.Single = true
	u, login := f.User, cmp.Or(f.Newest(), new(flows.Evidence))
	dn, universal := d.userDN(u), d.universalID(u)
	for _, h := range [...]struct {
		legacy, plain, value string
		o                    flows.HeaderOptions
	}{
		{"SM_USER", "SMUSER", u.Name, d.ForLogin(u.Name)},
		{"SM_USERDN", "SMUSERDN", dn, d.ForLogin(dn)},
		{"SM_UNIVERSALID", "SMUNIVERSALID", universal, d.ForLogin(universal)},
		{"SM_SERVERSESSIONID", "SMSERVERSESSIONID", sessionID(f), o},
	} {
		if err := w.Set(d.name(h.legacy, h.plain), []string{h.value}, h.o); err != nil {
			return err
		}
	}
	for _, t := range d.texts() {
		switch t.word {
		case "auth_type":
			t.text = d.authType(login)
		case "directory":
			t.text = cmp.Or(d.Directory, login.Provider, u.Provider)
		default:
			if t.text == "" {
				continue
			}
		}
		if err := w.Set(d.name(t.legacy, t.plain), []string{t.text}, o); err != nil {
			return err
		}
	}
	if d.Groups {
		if err := w.Set(d.name("SM_USERGROUPS", "SMUSERGROUPS"), groups(u), d.HeaderOptions); err != nil {
			return err
		}
	}
	return d.Write(u, w, d.HeaderOptions)
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
		return flows.First(u.Lookup(d.UserDN))
	}
	return cmp.Or(flows.First(u.Lookup("dn")), flows.First(u.Lookup("user_dn")))
}

func (d *Dialect) universalID(u *flows.User) string {
	return flows.First(u.Lookup(cmp.Or(d.UniversalID, "subject")))
}

func (d *Dialect) authType(login *flows.Evidence) string {
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

// sessionID is the public id: stable while the session lives, and good for nothing else (I13).
func sessionID(f *flows.Facts) string {
	if f.Session == nil {
		return ""
	}
	return f.Session.ID
}

// UnmarshalCaddyfile sets up the dialect from Caddyfile tokens. Syntax:
//
//	siteminder {
//	    legacy_variables    on|off
//	    groups              on|off
//	    user_dn             <attribute>
//	    universal_id        <attribute>
//	    auth_type           <text>
//	    directory           <text>
//	    realm               <text>
//	    realm_oid           <text>
//	    directory_oid       <text>
//	    directory_namespace <text>
//	    directory_server    <text>
//	    domain              <text>
//	    logoff_uri          <path…>
//	    join                <separator>
//	    encode              auto|raw|percent|base64|rfc2047|latin1|ascii
//	    missing             omit|empty|<text>
//	    max                 <bytes>
//	    quote               <mark>
//	    escape              <mark>
//	    wrap                on|off
//	    attribute           <Header> <attribute>
//	    logout              <path…>
//	    clear_cookie        <name…>
//	}
func (d *Dialect) UnmarshalCaddyfile(t *caddyfile.Dispenser) error {
	return flows.ParseDialect(t, d.Validate, flows.Options{
		flows.SwitchOption("legacy_variables", func(on bool) { d.LegacyVariables = &on }),
		flows.SwitchOption("groups", func(on bool) { d.Groups = on }),
		flows.TextOption("user_dn", &d.UserDN),
		flows.TextOption("universal_id", &d.UniversalID),
		flows.TextOption("auth_type", &d.AuthType),
		flows.TextOption("directory", &d.Directory),
		flows.TextOption("realm", &d.Realm),
		flows.TextOption("realm_oid", &d.RealmOID),
		flows.TextOption("directory_oid", &d.DirectoryOID),
		flows.TextOption("directory_namespace", &d.DirectoryNamespace),
		flows.TextOption("directory_server", &d.DirectoryServer),
		flows.TextOption("domain", &d.Domain),
		{Word: "logoff_uri", Set: func(args []string) error {
			if len(args) == 0 {
				return errors.New("logoff_uri takes at least one path")
			}
			d.LogoffURI = args
			return nil
		}},
	}, d.HeaderOptions.Words(), &d.Mapping, &d.Leaving)
}

var (
	_ caddy.Provisioner     = (*Dialect)(nil)
	_ caddy.Validator       = (*Dialect)(nil)
	_ caddyfile.Unmarshaler = (*Dialect)(nil)
	_ flows.Dialect         = (*Dialect)(nil)
	_ flows.Leaver          = (*Dialect)(nil)
)
