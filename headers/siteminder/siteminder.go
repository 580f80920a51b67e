// Package siteminder sends the headers that applications behind a SiteMinder
// web agent expect.
package siteminder

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
