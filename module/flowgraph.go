package module

import (
	_ "embed"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
)

// graphSchema is the JSON Schema of what GET /identity/flows answers.
//
//go:embed flows.schema.json
var graphSchema []byte

// flowGraph is the answer: the flows, and who has them run.
type flowGraph struct {
	Flows    []graphFlow    `json:"flows"`
	Protects []graphProtect `json:"protects"`
}

// graphFlow is one flow. What reaches none of its nodes by an edge never runs.
type graphFlow struct {
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"`
	Source string `json:"source,omitempty"`
	// On are the events that start it; none: requests do.
	On []string `json:"on,omitempty"`
	// SignsIn: it makes somebody known. Others run over a session, or in another flow.
	SignsIn bool        `json:"signs_in"`
	Nodes   []graphNode `json:"nodes"`
	Edges   []graphEdge `json:"edges"`
}

// graphNode is a step, or the start or the end of a flow. Its id is the place of the step
// in its flow: the same for as long as nobody writes a step before it.
type graphNode struct {
	ID string `json:"id"`
	// Kind is that of the step, or start or end.
	Kind   string `json:"kind"`
	Source string `json:"source,omitempty"`
	// Produces are names that are surely set behind it, MayProduce those that perhaps are.
	Produces   []string `json:"produces,omitempty"`
	MayProduce []string `json:"may_produce,omitempty"`
	// Reads are names that its conditions need, Reaches what it names in the configuration.
	Reads   []string `json:"reads,omitempty"`
	Reaches []string `json:"reaches,omitempty"`
	// Flow is the one that a `use` runs here.
	Flow string `json:"flow,omitempty"`
	// Waits: it may ask a person or a provider, and goes on with the answer.
	Waits bool `json:"waits,omitempty"`
	// Ends: it always ends the flow. Outward: it changes something elsewhere.
	Ends    bool `json:"ends,omitempty"`
	Outward bool `json:"outward,omitempty"`
}

// graphEdge leads from one node to the next.
type graphEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// When says which block it leads into: a policy, CEL, an option; missing: always, or
	// none of the others.
	When string `json:"when,omitempty"`
}

// graphProtect is one `protect` and the flows that it has run.
type graphProtect struct {
	Source string `json:"source,omitempty"`
	// Site are the hosts it is written for; missing: any.
	Site string `json:"site,omitempty"`
	// Flow is the one that signs people in here.
	Flow    string        `json:"flow"`
	StepUps []graphStepUp `json:"step_ups,omitempty"`
}

// graphStepUp is one step_up; without a flow any factor proves it.
type graphStepUp struct {
	Source string `json:"source,omitempty"`
	Flow   string `json:"flow,omitempty"`
}

// graph describes the flows of this config.
func (a *App) graph() flowGraph {
	g := flowGraph{Flows: []graphFlow{}, Protects: []graphProtect{}}
	for _, name := range orderOf(nil, a.Flows) {
		f := graphFlow{Name: name, Source: a.Flows[name].Source, On: a.Flows[name].On, SignsIn: flows.SignsIn(a.steps[name])}
		if p := a.programs[name]; p != nil {
			f.Digest = p.Digest
		}
		d := drawing{flow: &f}
		start, end := d.node("start", "start", nil), d.node("end", "end", nil)
		d.block("", a.steps[name], []graphEdge{{From: start}}, end)
		g.Flows = append(g.Flows, f)
	}
	a.eachProtect(func(site string, p *Protect) {
		if p.Base || p.Off {
			return
		}
		at := graphProtect{Source: p.Source, Site: site, Flow: p.Flow}
		for _, r := range p.Rules {
			if r.Do == "step_up" {
				at.StepUps = append(at.StepUps, graphStepUp{r.Source, r.Flow})
			}
		}
		g.Protects = append(g.Protects, at)
	})
	return g
}

// eachProtect calls fn for every protect of the config, with the hosts it is written for.
func (a *App) eachProtect(fn func(site string, p *Protect)) {
	servers := a.servers()
	for _, name := range orderOf(nil, servers) {
		proxies{named: servers[name].NamedRoutes}.eachProtect(servers[name].Routes, "", fn)
	}
}

func (n proxies) eachProtect(routes caddyhttp.RouteList, site string, fn func(site string, p *Protect)) {
	for _, r := range routes {
		here := site
		if h := hostsOf(r); h != "" {
			here = h
		}
		for _, h := range r.Handlers {
			if p, ok := h.(*Protect); ok {
				fn(here, p)
			}
			n.inside(h).eachProtect(n.routesOf(h), here, fn)
		}
	}
}

func (a *App) adminFlows(w http.ResponseWriter, r *http.Request) error {
	if err := a.adminAudit(r, audit.Event{}); err != nil {
		return err
	}
	return adminJSON(w, a.graph())
}

func (a *App) adminFlowSchema(w http.ResponseWriter, r *http.Request) error {
	if err := a.adminAudit(r, audit.Event{}); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/schema+json")
	_, err := w.Write(graphSchema)
	return err
}
