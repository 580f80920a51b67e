package module

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
)

// drawing draws one flow.
type drawing struct{ flow *graphFlow }

func (d drawing) node(place, kind string, s flows.Step) string {
	n := graphNode{ID: d.flow.Name + "/" + place, Kind: kind}
	if s != nil {
		describe(s, &n)
	}
	d.flow.Nodes = append(d.flow.Nodes, n)
	return n.ID
}

// describe says of a step what it says of itself.
func describe(s flows.Step, n *graphNode) {
	if m, ok := s.(caddy.Module); ok {
		n.Kind = m.CaddyModule().ID.Name()
	}
	if at, ok := s.(flows.Sourced); ok {
		n.Source = at.SourceLine()
	}
	if p, ok := s.(flows.Producer); ok {
		n.Produces = once(p.Produces())
	}
	if p, ok := s.(flows.Perhaps); ok {
		n.MayProduce = once(p.MayProduce())
	}
	if c, ok := s.(flows.Consumer); ok {
		for _, cond := range c.Conditions() {
			n.Reads = append(n.Reads, cond.Reads()...)
		}
		n.Reads = once(n.Reads)
	}
	if r, ok := s.(flows.Reacher); ok {
		for _, name := range r.Reaches() {
			if f, ok := strings.CutPrefix(name, "flow:"); ok {
				n.Flow = f
			} else {
				n.Reaches = append(n.Reaches, name)
			}
		}
		n.Reaches = once(n.Reaches)
	}
	_, n.Waits = s.(flows.Resumer)
	_, n.Outward = s.(flows.Outward)
	t, ok := s.(flows.Terminator)
	n.Ends = ok && t.Terminates()
}

// once sorts names; none is there twice.
func once(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// block draws steps one behind the other. From are the loose ends that lead to the first,
// and what is behind the last of them leads to next.
func (d drawing) block(place string, steps []flows.Step, from []graphEdge, next string) {
	for i, s := range steps {
		here := place + strconv.Itoa(i)
		id := d.node(here, "step", s)
		d.lead(from, id)
		from = nil
		if t, ok := s.(flows.Terminator); ok && t.Terminates() {
			continue
		}
		c, ok := s.(flows.Container)
		if r, uses := s.(flows.Reacher); !ok || uses && reachesFlow(r) {
			from = []graphEdge{{From: id}}
			continue
		}
		from = d.blocks(here, id, c)
	}
	d.lead(from, next)
}

// blocks draws those of a container and answers what is loose behind them.
func (d drawing) blocks(place, id string, c flows.Container) (loose []graphEdge) {
	var labels []string
	if l, ok := c.(flows.Labelled); ok {
		labels = l.Labels()
	}
	list, all := c.Blocks()
	for i, b := range list {
		into := graphEdge{From: id}
		if i < len(labels) {
			into.When = labels[i]
		}
		// A block leads to a node that does not exist yet: its edges there are taken back.
		const behind = "\x00"
		d.block(place+"."+strconv.Itoa(i)+".", b, []graphEdge{into}, behind)
		d.flow.Edges = slices.DeleteFunc(d.flow.Edges, func(e graphEdge) bool {
			if e.To == behind {
				loose = append(loose, e)
			}
			return e.To == behind
		})
	}
	if !all {
		loose = append(loose, graphEdge{From: id})
	}
	return loose
}

func (d drawing) lead(from []graphEdge, to string) {
	for _, e := range from {
		e.To = to
		d.flow.Edges = append(d.flow.Edges, e)
	}
}
