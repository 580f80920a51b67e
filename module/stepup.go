package module

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/policy"
)

// anyFactor is the flow of a step_up that names none. No operator's flow can have
// this name.
const anyFactor = "@any_factor"

// bindAnyFactor makes that flow of all factors of the configuration. Where there is
// none, or only such as stand in for others, there is no such flow.
func (a *App) bindAnyFactor() error {
	kinds := orderOf(nil, a.factors)
	alone := !slices.ContainsFunc(kinds, func(kind string) bool {
		_, spare := a.factors[kind].(flows.Spare)
		return !spare
	})
	if _, err := caddy.GetModule("identity.steps.mfa"); err != nil || alone {
		return nil
	}
	raw, err := json.Marshal(map[string]any{"factors": kinds})
	if err != nil {
		return err
	}
	m, err := a.ctx.LoadModuleByID("identity.steps.mfa", raw)
	if err != nil {
		return fmt.Errorf("the flow of any factor: %w", err)
	}
	step, ok := m.(flows.Step)
	if !ok {
		return fmt.Errorf("the flow of any factor: %T is no step", m)
	}
	steps := []flows.Step{step}
	if err := a.bindSteps(anyFactor, steps, []string{anyFactor}); err != nil {
		return fmt.Errorf("the flow of any factor: %w", err)
	}
	a.steps[anyFactor] = steps
	a.anyFactor, err = flows.CompileOver(anyFactor, a.digest(anyFactor), steps)
	return err
}

// run finds the program of a run, the gateway's own among them.
func (a *App) run(flow string) (*flows.Program, bool) {
	if flow == anyFactor {
		return a.anyFactor, a.anyFactor != nil
	}
	if p, ok := a.builtIn[flow]; ok {
		return p, true
	}
	p, ok := a.programs[flow]
	return p, ok
}

// loginFlows are the flows that may sign somebody in, by name.
func (a *App) loginFlows() []string {
	return slices.DeleteFunc(orderOf(nil, a.programs), func(n string) bool { return a.programs[n].Over })
}

// factorsOf are the kinds of factor that a flow may ask for.
func (a *App) factorsOf(flow string) []string {
	var kinds []string
	a.reached(flow, func(name string) {
		if kind, ok := strings.CutPrefix(name, "factor:"); ok {
			kinds = append(kinds, kind)
		}
	})
	return kinds
}

// provisionProof resolves what a step_up asks for.
func (p *Protect) provisionProof(r *RuleConfig, rule *policy.Rule) error {
	if rule.Do != policy.StepUp {
		if r.Flow != "" || r.Within != 0 || r.Once || len(r.Show) > 0 {
			return errors.New("flow, within, once and show belong to step_up")
		}
		return nil
	}
	switch {
	case r.Text != "":
		return errors.New("step_up takes no text: it asks and refuses nobody")
	case r.Within < 0:
		return errors.New("within must be positive")
	case r.Once && r.Within > 0:
		return errors.New("once asks for every request; within would never be looked at")
	case len(r.Show) > 0 && !r.Once:
		return errors.New("show belongs to once: only a request that is bound can be shown")
	}
	flow := r.Flow
	if flow == "" {
		flow = anyFactor
	}
	prog, ok := p.app.run(flow)
	if !ok && r.Flow == "" {
		return errors.New("step_up names no flow, and no factor is configured that could be asked for; write factor totp, or name a flow")
	}
	if !ok {
		return fmt.Errorf("no flow is called '%s'; there are: %s", r.Flow, strings.Join(orderOf(nil, p.app.programs), ", "))
	}
	id, err := proofID(r, prog)
	rule.Proof = &policy.Proof{ID: id, Flow: r.Flow, Within: time.Duration(r.Within), Once: r.Once, Show: r.Show}
	return err
}

// proofID names a rule by what it means: wherever it stands, and until it or its
// flow changes (I28).
func proofID(r *RuleConfig, prog *flows.Program) (string, error) {
	same := *r
	same.Source = ""
	b, err := json.Marshal(same)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(b, prog.Digest...))
	return base64.RawURLEncoding.EncodeToString(sum[:12]), nil
}
