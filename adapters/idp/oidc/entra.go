package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/adapters/internal/jwt"
	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/outbound"
)

func init() { caddy.RegisterModule(&Entra{}) }

const (
	entraLogin = "https://login.microsoftonline.com/"
	// everyTenant stands in the place of a tenant where several are asked, and
	// tenantTemplate in the issuer that is announced there.
	everyTenant    = "organizations"
	tenantTemplate = "{tenantid}"
	// personal is the tenant of all private Microsoft accounts.
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
	// edov says that the owner of the address's domain is the person's own tenant.
	edov = "xms_edov"
)

// Entra lets Microsoft Entra ID vouch for the people of a tenant: its issuer, its
// claims, and a check that every token is of that tenant. What is not said here is
// as with the type oidc.
type Entra struct {
	Provider

	// Tenants are the tenants whose people may sign in: directory ids (GUIDs), or
	// one domain that its tenant verified. People of the first one keep their keys
	// when others are added. Placeholders are resolved.
	Tenants []string `json:"tenants,omitempty"`
	// Subject says which claim tells people apart: sub (the default), which is the
	// person at this application registration, or oid, which is the same for all
	// applications of the tenant.
	Subject string `json:"subject,omitempty"`

	tenants []string
}

// CaddyModule returns the Caddy module information.
func (*Entra) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "identity.providers.entra", New: func() caddy.Module { return new(Entra) }}
}

// Provision resolves the tenants and, with them, the provider.
func (e *Entra) Provision(ctx caddy.Context) error {
	repl := caddy.NewReplacer()
	for _, raw := range e.Tenants {
		t, err := resolve(repl, raw)
		if err != nil {
			return fmt.Errorf("tenant: %w", err)
		}
		e.tenants = append(e.tenants, strings.ToLower(t))
	}
	if err := checkTenants(e.tenants); err != nil {
		return err
	}
	place := e.tenants[0]
	if len(e.tenants) > 1 {
		place = everyTenant
	}
	e.as = vendor{
		issuer: entraLogin + place + "/v2.0",
		// An app that must know of several factors asks for a context (acr_values);
		// amr comes from issuers of version 1 only, with Microsoft's own word for Hello.
		amr: map[string][]string{"ngcmfa": {"mfa"}}, acr: reachedContext, asks: askForContext,
		vouched: ownDomain, admits: e.ofTenant, bindsTo: e.home, object: "oid", frameless: true,
	}
	if e.Subject == "oid" || len(e.tenants) > 1 {
		e.as.subject = e.subject
	}
	if len(e.tenants) > 1 {
		e.as.issues = e.issued
	}
	if !guid.MatchString(place) {
		e.as.key, e.as.announced = place, announcedFor(place)
	}
	return e.Provider.Provision(ctx)
}

// announcedFor judges issuers that are not spelled as the address of their document:
// for a domain, it holds the tenant's id in its place, for several tenants a template.
// Where the configured issuer has no such place it must be named exactly.
func announcedFor(place string) func(configured, named string) error {
	return func(configured, named string) error {
		before, after, _ := strings.Cut(configured, "/"+place+"/")
		id, ok := between(named, before+"/", "/"+after)
		if named == configured || ok && (id == tenantTemplate && place == everyTenant || guid.MatchString(id) && place != everyTenant) {
			return nil
		}
		return fmt.Errorf("the document names issuer %q, asked was %q", outbound.Clip(named, 200), configured)
	}
}

// issued reports whether an issuer is the announced one for one of our tenants.
func (e *Entra) issued(announced, iss string) bool {
	return slices.ContainsFunc(e.tenants, func(t string) bool { return iss == strings.Replace(announced, tenantTemplate, t, 1) })
}

// Validate checks what can be checked without the provider.
func (e *Entra) Validate() error {
	if err := oneOf("subject", e.Subject, "", "sub", "oid"); err != nil {
		return err
	}
	if !contains(e.scopes(), "profile") {
		return fmt.Errorf("scopes %q must contain profile: without it Entra does not say the tenant", e.scopes())
	}
	return e.Provider.Validate()
}

var (
	guid   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	domain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9][a-z0-9-]*[a-z0-9]$`)
	// contextID is one of the authentication contexts of a tenant, c1 to c99.
	contextID = regexp.MustCompile(`^c[1-9][0-9]?$`)
)

// checkTenants refuses the words that let everybody in.
func checkTenants(tenants []string) error {
	if len(tenants) == 0 {
		return errors.New("entra needs a tenant: its directory id, or a domain of it")
	}
	for i, t := range tenants {
		t = strings.ToLower(t)
		switch {
		case t == "common", t == everyTenant, t == "consumers", t == personal:
			return fmt.Errorf("tenant '%s' would let in everybody with a Microsoft account; write the directory ids of the tenants that may: tenant <id> <id>…", t)
		case len(tenants) > 1 && !guid.MatchString(t):
			return fmt.Errorf("tenant '%s' is no directory id, and of several tenants each must be one (a GUID, as the Entra overview page shows it)", t)
		case !guid.MatchString(t) && !domain.MatchString(t):
			return fmt.Errorf("tenant '%s' is neither a directory id (a GUID) nor a domain", t)
		case slices.ContainsFunc(tenants[:i], func(o string) bool { return strings.EqualFold(o, t) }):
			return fmt.Errorf("tenant %s is written twice", t)
		}
	}
	return nil
}

// ofTenant is the tenant check: the token's tenant is one of ours, and the one in
// whose name it is signed.
func (e *Entra) ofTenant(claims map[string]any) error {
	tid, _ := claims["tid"].(string)
	iss, _ := claims["iss"].(string)
	i := slices.IndexFunc(strings.Split(iss, "/"), guid.MatchString)
	switch {
	case tid == "":
		return errors.New("tid is missing: the token does not say its tenant")
	case guid.MatchString(e.tenants[0]) && !contains(e.tenants, tid):
		return fmt.Errorf("tid is %q, which is none of the tenants", outbound.Clip(tid, 60))
	case i >= 0 && strings.Split(iss, "/")[i] != tid:
		return fmt.Errorf("tid is %q, and the issuer is %q", outbound.Clip(tid, 60), outbound.Clip(iss, 200))
	}
	return nil
}

// home is the issuer of the first tenant, so that adding one changes no binding (I05).
func (e *Entra) home(announced string) string {
	return strings.Replace(announced, tenantTemplate, e.tenants[0], 1)
}

// subject is sub or oid. Each is unique within its issuer (OIDC Core §2), so people
// of further tenants are told apart by theirs.
func (e *Entra) subject(claims map[string]any) (string, error) {
	name := "sub"
	if e.Subject == "oid" {
		name = "oid"
	}
	s, _ := claims[name].(string)
	if s == "" || len(s) > 255 {
		return "", fmt.Errorf("%s is missing, empty, no text or longer than 255 bytes", name)
	}
	if tid, _ := claims["tid"].(string); len(e.tenants) > 1 && tid != e.tenants[0] {
		return tid + ":" + s, nil
	}
	return s, nil
}

// ownDomain: Entra says of an address not email_verified, but whether its domain is
// the tenant's own. Others are what anybody's administrator typed.
func ownDomain(claims map[string]any) bool {
	switch claims[edov] {
	case true, "true", "1", 1.0:
		return true
	}
	return false
}

// askForContext asks for authentication contexts by the claims parameter (OIDC Core
// §5.5): Entra has no acr_values.
func askForContext(w map[string]string, acr []string) {
	if len(acr) == 0 || slices.ContainsFunc(acr, func(c string) bool { return !contextID.MatchString(c) }) {
		return
	}
	want := map[string]any{"essential": true, "values": acr}
	if len(acr) == 1 {
		want = map[string]any{"essential": true, "value": acr[0]}
	}
	b, err := json.Marshal(map[string]any{"id_token": map[string]any{"acrs": want}})
	if err != nil {
		return // strings and booleans can be written
	}
	w["acr_values"], w["claims"] = "", string(b)
}

// reachedContext finds the wanted context among those that the token lists.
func reachedContext(claims map[string]any, wanted []string) string {
	reached, err := jwt.Texts(claims["acrs"])
	if err == nil {
		for _, c := range wanted {
			if contains(reached, c) {
				return c
			}
		}
	}
	acr, _ := claims["acr"].(string)
	return acr
}

// between is what stands between a beginning and an end.
func between(s, begin, end string) (string, bool) {
	s, ok := strings.CutPrefix(s, begin)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, end)
}

// UnmarshalCaddyfile sets up the provider from Caddyfile tokens. Syntax:
//
//	entra {
//	    tenant  <id|domain>...
//	    subject sub|oid
//	    …       # the words of oidc; issuer only for another cloud
//	}
func (e *Entra) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := e.parse(d, "entra", map[string]option{
		"tenant": func(_ *Provider, d *caddyfile.Dispenser, args []string) error {
			if len(args) == 0 {
				return d.ArgErr()
			}
			e.Tenants = args
			if strings.Contains(strings.Join(args, ""), "{") {
				return nil // known at load
			}
			return placed(d, checkTenants(args))
		},
		"subject": word(func(*Provider) *string { return &e.Subject }, "sub", "oid"),
	})
	switch {
	case err != nil:
		return err
	case len(e.Tenants) == 0:
		return d.Err("entra needs a tenant: its directory id, or a domain of it")
	case len(e.Scopes) > 0 && !contains(e.Scopes, "profile"):
		return d.Errf("scopes of entra must contain profile, without which it does not say the tenant; written are: %s", strings.Join(e.Scopes, ", "))
	}
	return e.complete(d, "entra")
}

// Interface guards.
var (
	_ caddy.Module          = (*Entra)(nil)
	_ caddy.Provisioner     = (*Entra)(nil)
	_ caddy.Validator       = (*Entra)(nil)
	_ caddyfile.Unmarshaler = (*Entra)(nil)
	_ flows.ProviderGuest   = (*Entra)(nil)
	_ flows.Redirector      = (*Entra)(nil)
)
