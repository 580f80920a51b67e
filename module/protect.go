package module

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	"github.com/sallyport-gateway/sallyport/headers"
)

func init() { caddy.RegisterModule(Protect{}) }

// Protect is the handler `protect`: the gate of a route, or with Base or Off
// only the base of a site.
type Protect struct {
	ProtectConfig

	*gate
}

// gate is what a Protect becomes.
type gate struct {
	app      *App
	gate     policy.Gate
	program  *flows.Program
	plan     *headers.Plan
	remote   *headers.Template
	logouts  []logoutMatch
	callOuts []*callOut
	// api are the programs that are taken; nil: none.
	api *api
	// attributes are those that the `header` lines and remote_user show.
	attributes []string
	passive    caddyhttp.MatcherSets
	idle       time.Duration
	life       time.Duration
	// again are the rules as they are asked while a request goes on; long: they, or limits
	// of this route, may come to another answer meanwhile.
	again policy.Gate
	long  bool
	// readsHeader: some condition looks at headers of the request.
	readsHeader bool
	// every is how often the risk of a session is read anew; 0: at its logins only.
	every  time.Duration
	strict bool
	// preserve is how long a body may be that waits for a login; 0: none does.
	preserve int64
	// readsBody: some condition looks into the body.
	readsBody bool
	scheme    string // of `url`
	host      string
	place     atomic.Pointer[place]
}

// CaddyModule returns the Caddy module information.
func (Protect) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.protect", New: func() caddy.Module { return new(Protect) }}
}

// Provision compiles the route.
func (p *Protect) Provision(ctx caddy.Context) error {
	p.gate = &gate{strict: p.StrictPaths == nil || *p.StrictPaths}
	v, err := ctx.AppIfConfigured("identity")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("protect: there is no identity app; add the global option `identity { … }`")
	}
	if err != nil {
		return err
	}
	app, ok := v.(*App)
	if !ok {
		return fmt.Errorf("protect: the identity app is a %T", v)
	}
	p.app = app
	if err := p.provision(ctx); err != nil {
		return fmt.Errorf("protect%s: %w", written(p.Source), err)
	}
	return nil
}

// written says where something was written; a JSON config need not say it.
func written(source string) string {
	if source == "" {
		return ""
	}
	return " at " + source
}

func (p *Protect) provision(ctx caddy.Context) error {
	if err := p.provisionURL(); err != nil {
		return err
	}
	if p.Off {
		return nil
	}
	// The base of a protect owns the same headers, so that they are stripped on
	// routes that its matcher does not cover.
	if err := p.provisionHeaders(ctx); err != nil {
		return err
	}
	if err := p.provisionLogout(ctx); err != nil {
		return err
	}
	if p.Base {
		return nil
	}
	if err := p.provisionCallOuts(); err != nil {
		return err
	}
	if err := p.provisionFlow(); err != nil {
		return err
	}
	if err := p.provisionAPI(); err != nil {
		return fmt.Errorf("api%s: %w", written(p.API.Source), err)
	}
	if err := p.provisionSession(ctx); err != nil {
		return err
	}
	if err := p.provisionRisk(); err != nil {
		return err
	}
	if err := p.provisionPreserve(); err != nil {
		return err
	}
	switch p.Unauthenticated {
	case "", "auto", "redirect", "401":
	default:
		return fmt.Errorf("unauthenticated is auto, redirect or 401, not '%s'", p.Unauthenticated)
	}
	return p.provisionRules(ctx)
}

func (p *Protect) provisionURL() error {
	if p.URL == "" {
		return nil
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("url must be https://<host> without a path, not '%s'", p.URL)
	}
	p.scheme, p.host = u.Scheme, canonicalHost(u.Host, u.Scheme)
	return nil
}

func (p *Protect) provisionFlow() error {
	if p.Flow == "" {
		switch signing := p.app.loginFlows(); {
		case len(signing) == 1:
			p.Flow = signing[0]
		case slices.Contains(signing, ImplicitFlow):
			p.Flow = ImplicitFlow
		default:
			return fmt.Errorf("no flow is named, and there are several, none called 'default': %s", strings.Join(signing, ", "))
		}
	}
	prog, ok := p.app.programs[p.Flow]
	if ok && prog.Over {
		return fmt.Errorf("flow %s signs nobody in: it has no login; a step_up or another flow may name it", p.Flow)
	}
	if f := p.app.Flows[p.Flow]; f != nil && len(f.On) > 0 {
		return fmt.Errorf("flow %s is started by events, not by requests", p.Flow)
	}
	if !ok && p.app.Flows[p.Flow] != nil {
		return fmt.Errorf("flow %s can only be used by other flows: it reads what no step of its own surely set", p.Flow)
	}
	if !ok {
		return fmt.Errorf("no flow is called '%s'; there are: %s", p.Flow, strings.Join(orderOf(nil, p.app.Flows), ", "))
	}
	p.program = prog
	p.gate.gate.Flow, p.gate.gate.Digest = p.Flow, prog.Digest
	return nil
}

func (p *Protect) provisionSession(ctx caddy.Context) error {
	if p.Session == nil {
		return nil
	}
	p.idle, p.life = time.Duration(p.Session.Idle), time.Duration(p.Session.Lifetime)
	if p.idle < 0 || p.life < 0 {
		return errors.New("session: idle and lifetime must be positive")
	}
	sets, err := loadMatchers(ctx, p.Session, "PassiveRaw")
	p.passive = sets
	return err
}

func (p *Protect) provisionPreserve() error {
	p.preserve = defaultPreserve
	if p.PreservePost != nil {
		p.preserve = *p.PreservePost
	}
	if p.preserve < 0 || p.preserve > MaxPreserve {
		return fmt.Errorf("preserve_post is at most 16MiB, or off; not %d bytes", p.preserve)
	}
	return nil
}

func loadMatchers(ctx caddy.Context, owner any, field string) (caddyhttp.MatcherSets, error) {
	v, err := ctx.LoadModule(owner, field)
	if err != nil {
		return nil, fmt.Errorf("loading matchers: %w", err)
	}
	var sets caddyhttp.MatcherSets
	return sets, sets.FromInterface(v)
}

func (p *Protect) provisionRules(ctx caddy.Context) error {
	for _, r := range p.Rules {
		rule := policy.Rule{Text: r.Text, Source: r.Source}
		switch r.Do {
		case "public", "optional", "require", "step_up":
			rule.Do = policy.Do(r.Do)
		default:
			return fmt.Errorf("a rule is public, optional, require or step_up, not '%s'", r.Do)
		}
		closes := rule.Do == policy.Require || rule.Do == policy.StepUp
		if err := p.provisionMatch(ctx, r, &rule, closes); err != nil {
			return err
		}
		conditional := r.Policy != "" || r.CEL != ""
		if conditional && !closes || !conditional && rule.Do == policy.Require {
			return fmt.Errorf("rule%s: a condition belongs to require or step_up, and require needs one", written(r.Source))
		}
		if conditional {
			if err := p.provisionCondition(r, &rule); err != nil {
				return err
			}
		}
		if err := p.provisionProof(r, &rule); err != nil {
			return fmt.Errorf("rule%s: %w", written(r.Source), err)
		}
		p.gate.gate.Rules = append(p.gate.gate.Rules, rule)
	}
	p.provisionStreams()
	return nil
}

func (p *Protect) provisionMatch(ctx caddy.Context, r *RuleConfig, rule *policy.Rule, closes bool) error {
	for i, set := range r.MatchRaw { // the Caddyfile did it already; JSON may be written by hand
		r.MatchRaw[i] = Widen(set, !closes)
	}
	sets, err := loadMatchers(ctx, r, "MatchRaw")
	at := len(p.gate.gate.Rules)
	rule.Match = func(f *flows.Facts) (bool, error) {
		if len(sets) == 0 {
			return true, nil
		}
		switch n := f.Request.Native.(type) {
		case *visit:
			hit, err := n.matches(sets, closes)
			n.known.misses.note(at, hit)
			return hit, err
		case *misses:
			return !n.has(at), nil
		}
		return false, errors.New("no request to match")
	}
	return err
}

func (p *Protect) provisionCondition(r *RuleConfig, rule *policy.Rule) (err error) {
	rule.Cond, err = p.app.policies.Condition(flows.ConditionRef{Policy: r.Policy, CEL: r.CEL, Source: r.Source})
	if err != nil {
		return err
	}
	p.readsBody = p.readsBody || p.mentionsBody(r)
	p.readsHeader = p.readsHeader || p.app.mentions(r.CEL, r.Policy != "", "header")
	p.app.ownedMu.Lock()
	p.app.ruleTexts = append(p.app.ruleTexts, r.CEL)
	p.app.ownedMu.Unlock()
	if err := p.checkReads(rule.Cond); err != nil {
		return err
	}
	p.app.readsAttributes(rule.Cond.Source(), rule.Cond.Reads())
	return nil
}

// mentionsBody reports whether a condition may look into the body; a named
// policy may do so through others.
func (p *Protect) mentionsBody(r *RuleConfig) bool {
	return p.app.mentions(r.CEL, r.Policy != "", "form", "json")
}

// mentions reports whether an expression may use one of these words, itself or through
// the named policies.
func (a *App) mentions(cel string, named bool, words ...string) bool {
	texts := []string{cel}
	if named || strings.Contains(cel, "policy") {
		for _, pol := range a.Policies {
			texts = append(texts, pol.CEL)
		}
	}
	return slices.ContainsFunc(texts, func(t string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(t, w) })
	})
}

// checkReads refuses names that a finished flow may not have produced (I22).
func (p *Protect) checkReads(c flows.Condition) error {
	if err := p.program.Knows(c); err != nil {
		return fmt.Errorf("rule%s: %w", written(c.Source()), err)
	}
	return nil
}

// ServeHTTP is the way of a request: base once, then the gate.
func (p *Protect) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	p.app.enter()
	defer p.app.leave()
	// One look at the request's vars: each walk of the context costs as much as
	// a look into the cache of sessions.
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	switch seen := vars[visitVar].(type) {
	case *probe:
		return p.answerProbe(seen, w, r, next)
	case *explaining:
		return p.explain(seen, w, r, vars, next)
	case *visit:
		return p.serve(seen, false, w, r, next)
	}
	return p.serve(p.begin(w, r, vars), true, w, r, next)
}

// serve is a function of its own because one with few ways out defers at half the cost.
func (p *Protect) serve(v *visit, first bool, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	defer v.rescue()
	if first {
		asked := originalOf(r)
		if done, err := v.base(asked); done || err != nil {
			return err
		}
		if id := v.marker(); id != "" {
			if done, err := v.swap(id, &asked); done {
				return err
			}
		}
		gate, err := v.otherGate(r, asked)
		switch {
		case err != nil:
			return v.refuse(http.StatusBadRequest, flows.ReasonBadPath, "", "", err)
		case gate != nil:
			v.gated, v.p = true, gate
			return v.judge(w, r, next)
		}
	}
	if p.Base || p.Off || v.gated {
		v.answering = false
		err := next.ServeHTTP(v.wrap(w), r)
		if err == nil {
			v.bareFront()
		}
		return err
	}
	v.gated, v.p = true, p
	return v.judge(w, r, next)
}

var (
	_ caddyhttp.MiddlewareHandler = (*Protect)(nil)
	_ caddy.Provisioner           = (*Protect)(nil)
)
