package caddyfile

import (
	"encoding/json"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/module"
)

// session parses the limits of sessions and their cookie. Syntax:
//
//	session {
//	    idle     <duration>
//	    lifetime <duration>
//	    cookie   <name>
//	    domain   <parent>
//	    insecure_http
//	}
func (id *identity) session(d *caddyfile.Dispenser) error {
	id.Session = new(module.SessionConfig)
	return parseBlock(id.Session, d, "session", sessionWords)
}

var (
	cookieName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	hexColour  = regexp.MustCompile(`^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$`)
	language   = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)
)

var sessionWords = map[string]word[*module.SessionConfig]{
	"idle": {parse: func(s *module.SessionConfig, d *caddyfile.Dispenser) (err error) {
		s.Idle, err = duration(d)
		return err
	}},
	"lifetime": {parse: func(s *module.SessionConfig, d *caddyfile.Dispenser) (err error) {
		s.Lifetime, err = duration(d)
		return err
	}},
	"cookie": {parse: func(s *module.SessionConfig, d *caddyfile.Dispenser) (err error) {
		s.Cookie, err = one(d, "a cookie name")
		if err == nil && !cookieName.MatchString(s.Cookie) {
			err = d.Errf("cookie name '%s' must match [A-Za-z0-9_-]+", s.Cookie)
		}
		return err
	}},
	"domain": {parse: func(s *module.SessionConfig, d *caddyfile.Dispenser) error {
		v, err := one(d, "the parent domain of the sites that share a session")
		s.Domain = strings.ToLower(strings.TrimPrefix(v, "."))
		if err == nil && (!domainName.MatchString(s.Domain) || net.ParseIP(s.Domain) != nil) {
			err = d.Errf("'%s' is no parent domain such as example.com", v)
		}
		return err
	}},
	"insecure_http": {parse: func(s *module.SessionConfig, _ *caddyfile.Dispenser) error {
		s.InsecureHTTP = true
		return nil
	}},
}

// keys parses the cluster keys. Syntax:
//
//	keys <key…>
func (id *identity) keys(d *caddyfile.Dispenser) error {
	args, err := some(d, "key")
	if err != nil {
		return err
	}
	for i, k := range args {
		if slices.Contains(args[:i], k) {
			return d.Errf("key %d of keys is the same as an earlier one", i+1) // never print it: it may be the secret itself
		}
	}
	id.Keys = args
	return nil
}

// store parses where sessions are kept. Syntax:
//
//	store <backend> [<args…>]
func (id *identity) store(d *caddyfile.Dispenser) (err error) {
	id.StoreRaw, err = guest(d, "store", "identity.stores", "backend")
	return err
}

// guest parses `<word> <module> …` by the guest of that name.
func guest(d *caddyfile.Dispenser, kind, namespace, key string) (json.RawMessage, error) {
	name, err := one(d, "the name of a "+kind)
	if err != nil {
		return nil, err
	}
	if have := guests(namespace); !slices.Contains(have, name) {
		return nil, d.Errf("no %s is called '%s'%s; there are: %s", kind, name, didYouMean(name, have), strings.Join(have, ", "))
	}
	unm, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(unm, key, name, nil), nil
}

// pages parses the look of the gateway's own pages. Syntax:
//
//	pages {
//	    title     <text>
//	    logo      <file>
//	    accent    "#<hex colour>"
//	    templates <dir>
//	    languages <tag…>
//	}
func (id *identity) pages(d *caddyfile.Dispenser) error {
	id.Pages = new(module.PagesConfig)
	return parseBlock(id.Pages, d, "pages", pagesWords)
}

var pagesWords = map[string]word[*module.PagesConfig]{
	"title": {parse: func(p *module.PagesConfig, d *caddyfile.Dispenser) (err error) {
		p.Title, err = one(d, "a text")
		return err
	}},
	"logo": {parse: func(p *module.PagesConfig, d *caddyfile.Dispenser) (err error) {
		p.Logo, err = one(d, "an image file")
		return err
	}},
	"accent": {parse: func(p *module.PagesConfig, d *caddyfile.Dispenser) error {
		// An unquoted # begins a comment, so the colour is gone before we see it.
		v, err := one(d, `a colour, in quotes because # begins a comment: accent "#0b5fff"`)
		if err == nil && !hexColour.MatchString(v) {
			err = d.Errf(`accent '%s' is no hex colour such as "#0b5fff"`, v)
		}
		p.Accent = "#" + strings.TrimPrefix(v, "#")
		return err
	}},
	"templates": {parse: func(p *module.PagesConfig, d *caddyfile.Dispenser) (err error) {
		p.Templates, err = one(d, "a directory")
		return err
	}},
	"languages": {parse: func(p *module.PagesConfig, d *caddyfile.Dispenser) (err error) {
		p.Languages, err = some(d, "language such as en")
		for i, l := range p.Languages {
			if !language.MatchString(l) || slices.Contains(p.Languages[:i], l) {
				return d.Errf("'%s' is no language such as en, or is named twice", l)
			}
		}
		return err
	}},
}
