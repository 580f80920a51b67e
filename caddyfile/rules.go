package caddyfile

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/module"
)

// matcher takes a matcher token at the next argument of d, if it is one. A nil
// set with ok is `*`.
//
// Caddy's ExtractMatcherSet resets the dispenser and so cannot be used inside a
// block, and MatcherToken consumes a token that is no matcher.
func (p *protect) matcher(d *caddyfile.Dispenser) (set caddy.ModuleMap, ok bool, err error) {
	if d.CountRemainingArgs() == 0 {
		return nil, false, nil
	}
	set, ok, err = p.h.WithDispenser(d).MatcherToken()
	if err != nil {
		return nil, false, d.Errf("no matcher is called '%s' in this block or one around it", d.Val())
	}
	if !ok {
		d.Prev()
	}
	return set, ok, nil
}

// matchers takes one or more matchers: a request counts that any of them
// matches. No set at all stands for `*`.
func (p *protect) matchers(d *caddyfile.Dispenser) (caddyhttp.RawMatcherSets, error) {
	word, all := d.Val(), false
	var sets caddyhttp.RawMatcherSets
	for n := 0; ; n++ {
		set, ok, err := p.matcher(d)
		switch {
		case err != nil:
			return nil, err
		case !ok && d.NextArg():
			return nil, d.Errf("%s: '%s' is no matcher; a matcher is *, /path or @name", word, d.Val())
		case !ok && n == 0:
			return nil, d.Errf("%s wants at least one matcher: *, /path or @name", word)
		case !ok && all:
			return nil, nil
		case !ok:
			return sets, nil
		}
		all = all || set == nil
		sets = append(sets, set)
	}
}

// open parses a line that opens paths. Syntax:
//
//	public|optional <matcher…>
func (p *protect) open(d *caddyfile.Dispenser) error {
	r := &module.RuleConfig{Do: d.Val(), Source: source(d)}
	sets, err := p.matchers(d)
	if err != nil {
		return err
	}
	for _, set := range sets {
		r.MatchRaw = append(r.MatchRaw, module.Widen(set, true))
	}
	p.Rules = append(p.Rules, r)
	return nil
}

// require parses a line that closes paths. Syntax:
//
//	require [<matcher>] <policy>|`<cel>` ["<text>"]
func (p *protect) require(d *caddyfile.Dispenser) error {
	r := &module.RuleConfig{Do: "require", Source: source(d)}
	set, _, err := p.matcher(d)
	if err != nil {
		return err
	}
	if set != nil {
		r.MatchRaw = caddyhttp.RawMatcherSets{module.Widen(set, false)}
	}
	if !d.NextArg() {
		return d.Errf("require wants a condition: a policy's name or `cel`")
	}
	if strings.HasPrefix(d.Val(), "/") || strings.HasPrefix(d.Val(), "@") || d.Val() == "*" {
		return d.Errf("require takes at most one matcher; '%s' is a second one: write a @name that holds both", d.Val())
	}
	ref := conditionAt(d)
	cond, err := p.known.condition(ref)
	if err != nil {
		return d.WrapErr(err)
	}
	if err := p.readsRisk(d, cond); err != nil {
		return err
	}
	r.Policy, r.CEL = ref.Policy, ref.CEL
	if d.NextArg() {
		r.Text = d.Val()
	}
	p.Rules = append(p.Rules, r)
	return nil
}
