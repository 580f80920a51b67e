package caddyfile

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

const stepNamespace = "identity.steps"

// flow parses a named list of steps. Syntax:
//
//	flow <name> {
//	    on <event…>
//	    <step> …
//	    when <condition> { <steps…> }
//	    else_when <condition> { <steps…> }
//	    else { <steps…> }
//	}
func (id *identity) flow(d *caddyfile.Dispenser) error {
	name, err := one(d, "a name")
	if err != nil {
		return err
	}
	if !flows.ValidName(name) {
		return badName(d, "flow", name)
	}
	if name == "off" {
		return d.Errf("a flow cannot be called off: `protect off` means something else")
	}
	if f := id.Flows[name]; f != nil {
		return d.Errf("flow '%s' is defined twice; the first is at %s", name, f.Source)
	}
	f, at := &module.Flow{Source: source(d)}, here(d)
	lines, err := startedBy(f, readBlock(d).lines)
	if err != nil {
		return err
	}
	if err := finish(d, "flow "+name); err != nil {
		return err
	}
	if len(lines) == 0 {
		return at.Errf("flow %s has no steps", name)
	}
	raw, steps, err := readSteps(lines)
	if err != nil {
		return err
	}
	f.StepsRaw = raw
	if id.Flows == nil {
		id.Flows = map[string]*module.Flow{}
	}
	id.Flows[name], id.steps[name] = f, steps
	id.later(at, func(b *binder) error { return b.bindFlow(name) })
	id.last = append(id.last, check{at, func(b *binder) error {
		if b.used[name] {
			return nil // judged where it is used: it may count on a login of that flow
		}
		compile := flows.Compile
		switch {
		case len(f.On) > 0:
			if err := flows.Unattended(steps.steps); err != nil {
				return err
			}
			compile = flows.CompileOver
		case !flows.SignsIn(steps.steps): // over a session: a protect that names it is told
			compile = flows.CompileOver
		}
		_, err := compile(name, "", steps.steps)
		return err
	}})
	return nil
}

// startedBy takes the lines `on <event…>` out of a flow: they are no steps.
func startedBy(f *module.Flow, lines []caddyfile.Segment) (steps []caddyfile.Segment, err error) {
	for _, line := range lines {
		d := dispense(line)
		if d.Val() != "on" {
			steps = append(steps, line)
			continue
		}
		names, err := some(d, "event")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			switch {
			case !slices.Contains(module.Events, n):
				return nil, d.Errf("no event is called '%s'%s; there are: %s", n, didYouMean(n, module.Events), strings.Join(module.Events, ", "))
			case slices.Contains(f.On, n):
				return nil, d.Errf("on %s is there twice", n)
			}
			f.On = append(f.On, n)
		}
		if err := finish(d, "on"); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// whenStep is the JSON of a `when` with the `else_when` and `else` that follow it.
type whenStep struct {
	Step     string            `json:"step"`
	Branches []whenBranch      `json:"branches"`
	Else     []json.RawMessage `json:"else,omitzero"`
	Source   string            `json:"source"`
}

type whenBranch struct {
	If     flows.ConditionRef `json:"if"`
	Steps  []json.RawMessage  `json:"steps"`
	Source string             `json:"source"`
}

// readSteps parses the lines of a flow or of a block in it.
func readSteps(lines []caddyfile.Segment) ([]json.RawMessage, *parsed, error) {
	raw, p := []json.RawMessage{}, new(parsed)
	var open *branches // the `when` that an else_when or else may follow
	for _, line := range lines {
		d := dispense(line)
		var err error
		switch word := d.Val(); {
		case word == "when":
			open = &branches{json: whenStep{Step: word, Source: source(d)}}
			raw, p.steps, p.at, p.inner = append(raw, nil), append(p.steps, open), append(p.at, here(d)), append(p.inner, nil)
			err = open.read(d)
		case word != "else_when" && word != "else":
			open = nil
			err = readStep(d, &raw, p)
		case open == nil || open.json.Else != nil:
			err = d.Errf("%s must follow the block of a when or an else_when", word)
		case word == "else":
			open.json.Else, err = open.block(d)
		default:
			err = open.read(d)
		}
		if err != nil {
			return nil, nil, err
		}
		if open != nil {
			raw[len(raw)-1] = caddyconfig.JSON(open.json, nil)
		}
	}
	return raw, p, nil
}

// read parses `when|else_when <condition> { <steps…> }`.
func (w *branches) read(d *caddyfile.Dispenser) (err error) {
	word, b := d.Val(), whenBranch{Source: source(d)}
	w.heads = append(w.heads, here(d))
	if !d.NextArg() {
		return d.Errf("%s wants a condition: a policy's name or `cel`", word)
	}
	b.If = conditionAt(d)
	b.Steps, err = w.block(d)
	w.json.Branches = append(w.json.Branches, b)
	return err
}

// block parses the steps behind a branch's head. An empty block is a decision,
// too; a missing one is a mistake.
func (w *branches) block(d *caddyfile.Dispenser) ([]json.RawMessage, error) {
	if d.NextArg() {
		return nil, d.Errf("unexpected '%s'; a block of steps must follow", d.Val())
	}
	b := readBlock(d)
	if !b.there {
		return nil, d.Errf("a block of steps must follow '%s'", d.Val())
	}
	raw, steps, err := readSteps(b.lines)
	w.blocks = append(w.blocks, steps)
	return raw, err
}

// conditionAt reads the current token: quoted it is CEL, bare the name of a
// policy. A blank makes it CEL, too: a bare word has none, so it came quoted
// through an argument of `import`.
func conditionAt(d *caddyfile.Dispenser) flows.ConditionRef {
	ref := flows.ConditionRef{Source: source(d)}
	if d.Token().Quoted() || strings.ContainsAny(d.Val(), " \t\n") {
		ref.CEL = d.Val()
	} else {
		ref.Policy = d.Val()
	}
	return ref
}

// nesting is a step with blocks of steps inside: the door reads those for it.
type nesting interface {
	ReadBlocksBy(read func(*caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error))
}

// readStep parses one step by its guest.
func readStep(d *caddyfile.Dispenser, raw *[]json.RawMessage, p *parsed) error {
	name, at := d.Val(), here(d)
	if have := guests(stepNamespace); !slices.Contains(have, name) {
		have = append(have, "else_when", "else", "on")
		slices.Sort(have)
		return d.Errf("no step is called '%s'%s; there are: %s", name, didYouMean(name, have), strings.Join(have, ", "))
	}
	mod, err := caddy.GetModule(stepNamespace + "." + name)
	if err != nil {
		return d.WrapErr(err)
	}
	guest := mod.New()
	unm, reads := guest.(caddyfile.Unmarshaler)
	step, ok := guest.(flows.Step)
	if !reads || !ok {
		return d.Errf("%s is no step of a Caddyfile: it is %T", name, guest)
	}
	var inner []*parsed
	if n, ok := guest.(nesting); ok {
		n.ReadBlocksBy(func(d *caddyfile.Dispenser) ([]json.RawMessage, []flows.Step, error) {
			raw, block, err := readSteps(readBlock(d).lines)
			if err != nil {
				return nil, nil, err
			}
			inner = append(inner, block)
			return raw, block.steps, nil
		})
	}
	d.Reset()
	if err := unm.UnmarshalCaddyfile(d); err != nil {
		return err
	}
	*raw = append(*raw, caddyconfig.JSONModuleObject(guest, "step", name, nil))
	p.steps, p.at, p.inner = append(p.steps, step), append(p.at, at), append(p.inner, inner)
	return nil
}
