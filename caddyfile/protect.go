package caddyfile

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/sallyport-gateway/sallyport/module"
)

// directive is both the word and the name of the handler.
const directive = "protect"

func init() {
	httpcaddyfile.RegisterDirective(directive, parseProtect)
	// Behind rewrite and try_files a rule for /admin/* would no longer match:
	// what is judged is the URL that the browser asked for.
	httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "method")
}

// protect collects one directive. The helper knows the matchers in scope; its
// own dispenser is not used for sub-lines.
type protect struct {
	module.ProtectConfig
	h     httpcaddyfile.Helper
	known *known
	// asserted says where each assertion was written, by the alias class of its header.
	asserted map[string]string
}

// parseProtect parses the directive. Syntax:
//
//	protect [<matcher>] [<flow>] {
//	    headers         <dialect> [{ … }]
//	    header          <Name> <template> [{ … }]
//	    assertion       [<Header>] [{ … }]
//	    public          <matcher…>
//	    optional        <matcher…>
//	    require         [<matcher>] <policy>|`<cel>` ["<text>"]
//	    step_up         [<matcher>] [<flow>] [<policy>|`<cel>`] { once ; show <field…> ; within <duration> }
//	    api             <provider…> { cache <duration> ; keep_authorization }
//	    unauthenticated auto|redirect|401
//	    preserve_post   <size>|off
//	    strict_paths    on|off
//	    remote_user     <template>
//	    logout          <matcher> [pass]
//	    on_logout       <url>
//	    session         { idle <duration> ; lifetime <duration> ; passive <matcher…> }
//	    risk every      <duration>
//	    url             <https://host>
//	}
//	protect off
//
// It becomes two routes: the gate under the matcher, and the base of the site,
// which must run for every request, whether the matcher takes it or not.
func parseProtect(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if err := checkBraces(h.Dispenser); err != nil {
		return nil, err
	}
	h.Next()
	k, err := knownTo(h)
	if err != nil {
		return nil, err
	}
	p := &protect{h: h, known: k}
	p.Source = source(h.Dispenser)
	set, matched, err := p.matcher(h.Dispenser)
	if err != nil {
		return nil, err
	}
	words := protectWords
	if h.NextArg() {
		p.Flow = h.Val()
	}
	if p.Off = p.Flow == "off"; p.Off {
		if matched {
			return nil, h.Errf("protect off covers the whole site and takes no matcher")
		}
		p.Flow, words = "", baseWords
	} else if p.Flow, err = k.flow(p.Flow); err != nil {
		return nil, h.WrapErr(err)
	}
	if h.NextArg() {
		return nil, h.Errf("unexpected '%s' behind protect; it takes a matcher, then the name of a flow", h.Val())
	}
	what := directive
	if p.Off {
		what = "protect off"
	}
	if err := parseBlock(p, h.Dispenser, what, words); err != nil {
		return nil, err
	}
	return p.routes(set), finish(h.Dispenser, directive)
}

// routes puts the base first: where the gate has no matcher the two keep this
// order. Where it has one, Caddy sorts the gate in front, and the gate begins
// with the same base, which runs once per request.
func (p *protect) routes(set caddy.ModuleMap) []httpcaddyfile.ConfigValue {
	base := &module.ProtectConfig{
		Base: true, Off: p.Off, StrictPaths: p.StrictPaths, URL: p.URL, Logout: p.Logout, Source: p.Source,
	}
	routes := []httpcaddyfile.ConfigValue{p.route(nil, base)}
	if !p.Off {
		routes = append(routes, p.route(set, &p.ProtectConfig))
	}
	return routes
}

func (p *protect) route(set caddy.ModuleMap, c *module.ProtectConfig) httpcaddyfile.ConfigValue {
	r := caddyhttp.Route{
		HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(c, "handler", directive, nil)},
	}
	if set == nil && p.h.IsNamedRoute() {
		// Where all routes of a named route have the same matchers, Caddy 2.11.9
		// merges them and then keeps the first handler only: the gate would be
		// lost. An empty set matches everything and is not the same as none.
		set = caddy.ModuleMap{}
	}
	if set != nil {
		r.MatcherSetsRaw = []caddy.ModuleMap{set}
	}
	return httpcaddyfile.ConfigValue{Class: "route", Value: r}
}

// baseWords are those of protectWords that the base of a site understands.
var baseWords = map[string]word[*protect]{
	"strict_paths": {parse: func(p *protect, d *caddyfile.Dispenser) error {
		on, err := onOff(d)
		p.StrictPaths = &on
		return err
	}},
	"url": {parse: (*protect).url},
}

var protectWords = map[string]word[*protect]{
	"headers":   {(*protect).headers, true},
	"header":    {(*protect).header, true},
	"assertion": {(*protect).assertion, true},
	"public":    {(*protect).open, true},
	"optional":  {(*protect).open, true},
	"require":   {(*protect).require, true},
	"step_up":   {(*protect).stepUp, true},
	"api":       {(*protect).api, false},
	"unauthenticated": {parse: func(p *protect, d *caddyfile.Dispenser) (err error) {
		p.Unauthenticated, err = oneOf(d, "auto", "redirect", "401")
		return err
	}},
	"preserve_post": {parse: (*protect).preservePost},
	"strict_paths":  baseWords["strict_paths"],
	"remote_user":   {(*protect).remoteUser, false},
	"logout":        {(*protect).logout, true},
	"on_logout":     {(*protect).onLogout, true},
	"session": {parse: func(p *protect, d *caddyfile.Dispenser) error {
		p.Session = new(module.RouteSessionConfig)
		return parseBlock(p, d, "session", routeSessionWords)
	}},
	"risk": {parse: (*protect).risk},
	"url":  baseWords["url"],
}

// risk parses how often the risk of a session is read anew. Syntax:
//
//	risk every <duration>
func (p *protect) risk(d *caddyfile.Dispenser) error {
	if !d.NextArg() || d.Val() != "every" {
		return d.Errf("risk in protect says how often it is read anew: risk every 5m")
	}
	if !slices.Contains(p.known.risky, p.Flow) {
		return d.Errf("risk every reads anew what the flow read, but flow %s has no risk step", cmp.Or(p.Flow, module.ImplicitFlow))
	}
	v, err := duration(d)
	p.RiskEvery = v
	return err
}

func (p *protect) preservePost(d *caddyfile.Dispenser) error {
	v, err := one(d, "a size such as 256KiB, or off")
	if err != nil {
		return err
	}
	var n uint64
	if v != "off" {
		if n, err = humanize.ParseBytes(v); err != nil || n == 0 {
			return d.Errf("preserve_post: '%s' is no size such as 256KiB, and not off", v)
		}
	}
	if n > module.MaxPreserve {
		return d.Errf("preserve_post is at most %s, not %s", humanize.IBytes(module.MaxPreserve), v)
	}
	size := int64(n)
	p.PreservePost = &size
	return nil
}

var routeSessionWords = map[string]word[*protect]{
	"idle": {parse: func(p *protect, d *caddyfile.Dispenser) (err error) {
		p.Session.Idle, err = duration(d)
		return err
	}},
	"lifetime": {parse: func(p *protect, d *caddyfile.Dispenser) (err error) {
		p.Session.Lifetime, err = duration(d)
		return err
	}},
	"passive": {many: true, parse: func(p *protect, d *caddyfile.Dispenser) error {
		sets, err := p.matchers(d)
		if err == nil && len(sets) == 0 {
			err = d.Errf("passive * would mean that nothing is activity; name the paths that poll")
		}
		p.Session.PassiveRaw = append(p.Session.PassiveRaw, sets...)
		return err
	}},
}

// logout parses one of the application's own logout addresses. Syntax:
//
//	logout <matcher> [pass]
func (p *protect) logout(d *caddyfile.Dispenser) error {
	set, ok, err := p.matcher(d)
	if err != nil {
		return err
	}
	if !ok || set == nil {
		return d.Errf("logout wants the application's logout address: a path or @name")
	}
	l := &module.LogoutConfig{MatchRaw: caddyhttp.RawMatcherSets{set}}
	if d.NextArg() {
		if l.Pass = d.Val() == "pass"; !l.Pass {
			return d.Errf("unexpected '%s' behind logout; only 'pass' may stand there", d.Val())
		}
	}
	p.Logout = append(p.Logout, l)
	return nil
}

// onLogout parses an address that is told when a session ends that was here. Syntax:
//
//	on_logout <url>
func (p *protect) onLogout(d *caddyfile.Dispenser) error {
	at := source(d)
	v, err := one(d, "the address to tell, such as https://payroll.internal/session-ended")
	if err != nil {
		return err
	}
	if strings.Contains(v, "{http.") {
		return d.Errf("on_logout: there is no request when a session ends, so {http.…} stands for nothing")
	}
	if u, err := url.Parse(v); !strings.Contains(v, "{") && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "") {
		return d.Errf("on_logout '%s' is no address such as https://payroll.internal/session-ended", v)
	}
	p.OnLogout = append(p.OnLogout, &module.CallOutConfig{URL: v, Source: at})
	return nil
}

// url parses the public scheme and host of the site. Syntax:
//
//	url <https://host[:port]>
func (p *protect) url(d *caddyfile.Dispenser) error {
	v, err := one(d, "the site's address such as https://payroll.example.com")
	if err != nil {
		return err
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "{}") {
		return d.Errf("url '%s' is no address such as https://payroll.example.com", v)
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return d.Errf("url '%s' must be a scheme and a host only", v)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !module.Loopback(u.Hostname())) {
		return d.Errf("url '%s' must be https (http only on loopback)", v)
	}
	p.URL = u.Scheme + "://" + strings.ToLower(u.Host)
	return nil
}
