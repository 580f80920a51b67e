package caddyfile

import (
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// stepUp parses a line that asks who is signed in for a proof. Syntax:
//
//	step_up [<matcher>] [<flow>] [<policy>|`<cel>`] {
//	    within <duration>
//	    once
//	    show   <field…>
//	}
func (p *protect) stepUp(d *caddyfile.Dispenser) error {
	r := &module.RuleConfig{Do: "step_up", Source: source(d)}
	set, _, err := p.matcher(d)
	if err != nil {
		return err
	}
	if set != nil {
		r.MatchRaw = caddyhttp.RawMatcherSets{module.Widen(set, false)}
	}
	at := here(d)
	if err := p.stepUpWords(d, r); err != nil {
		return err
	}
	if err := parseBlock(r, d, "step_up", stepUpWords); err != nil {
		return err
	}
	switch {
	case r.Once && r.Within != 0:
		return at.Errf("step_up: once asks for every request; within would never be looked at")
	case len(r.Show) > 0 && !r.Once:
		return at.Errf("step_up: show belongs to once: only a request that is bound can be shown")
	case r.Flow == "" && !p.known.asksFactor():
		return at.Errf("step_up names no flow, and no factor is configured that could be asked for; write factor totp, or name a flow")
	}
	p.Rules = append(p.Rules, r)
	return nil
}

// stepUpWords reads what stands between matcher and block: the name of a flow, then a
// condition. A single bare word is whichever has that name.
func (p *protect) stepUpWords(d *caddyfile.Dispenser, r *module.RuleConfig) error {
	for first := true; d.NextArg(); first = false {
		word := d.Val()
		if strings.HasPrefix(word, "/") || strings.HasPrefix(word, "@") || word == "*" {
			return d.Errf("step_up takes at most one matcher, in front; '%s' is a second one, or stands behind: write a @name that holds both", word)
		}
		ref := conditionAt(d)
		isFlow, isPolicy := slices.Contains(p.known.flows, word), slices.Contains(p.known.policies, word)
		switch {
		case r.Policy != "" || r.CEL != "":
			return d.Errf("unexpected '%s' behind the condition of step_up", word)
		case ref.CEL != "":
		case first && isFlow && isPolicy && d.CountRemainingArgs() == 0:
			return d.Errf("both a flow and a policy are called '%s'; call one of them otherwise", word)
		case first && isFlow:
			r.Flow = word
			continue
		case first && !isPolicy:
			return d.Errf("neither a flow nor a policy is called '%s'; there are the flows %s and the policies %s", word, list(p.known.flows), list(p.known.policies))
		}
		if err := p.stepUpCondition(d, r, ref); err != nil {
			return err
		}
	}
	return nil
}

func (p *protect) stepUpCondition(d *caddyfile.Dispenser, r *module.RuleConfig, ref flows.ConditionRef) error {
	cond, err := p.known.condition(ref)
	if err != nil {
		return d.WrapErr(err)
	}
	if err := p.readsRisk(d, cond); err != nil {
		return err
	}
	r.Policy, r.CEL = ref.Policy, ref.CEL
	return nil
}

func list(names []string) string {
	if len(names) == 0 {
		return "(none)"
	}
	return strings.Join(names, ", ")
}

// asksFactor reports whether there is a factor that does not only stand in for others.
func (k *known) asksFactor() bool {
	for _, f := range k.factors {
		if _, spare := f.(flows.Spare); !spare {
			return true
		}
	}
	return false
}

var stepUpWords = map[string]word[*module.RuleConfig]{
	"within": {parse: func(r *module.RuleConfig, d *caddyfile.Dispenser) (err error) {
		r.Within, err = duration(d)
		if err == nil && time.Duration(r.Within) < 10*time.Second {
			err = d.Errf("within must be at least 10s: nobody proves anything sooner")
		}
		return err
	}},
	"once": {parse: func(r *module.RuleConfig, _ *caddyfile.Dispenser) error {
		r.Once = true
		return nil
	}},
	"show": {many: true, parse: func(r *module.RuleConfig, d *caddyfile.Dispenser) error {
		names, err := some(d, "field of a form or of JSON")
		for _, n := range names {
			if slices.Contains(r.Show, n) {
				return d.Errf("show names '%s' twice", n)
			}
			r.Show = append(r.Show, n)
		}
		return err
	}},
}
