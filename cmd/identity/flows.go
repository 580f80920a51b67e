package identity

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// graph is what the gateway answers about its flows.
type graph struct {
	Flows    []flowOf    `json:"flows"`
	Protects []protectOf `json:"protects"`
}

type flowOf struct {
	Name   string   `json:"name"`
	Source string   `json:"source"`
	On     []string `json:"on"`
	Nodes  []node   `json:"nodes"`
	Edges  []edge   `json:"edges"`
}

type node struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Source   string   `json:"source"`
	Produces []string `json:"produces"`
	Reaches  []string `json:"reaches"`
	Flow     string   `json:"flow"`
}

type edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	When string `json:"when"`
}

type protectOf struct {
	Source  string `json:"source"`
	Site    string `json:"site"`
	Flow    string `json:"flow"`
	StepUps []struct {
		Source string `json:"source"`
		Flow   string `json:"flow"`
	} `json:"step_ups"`
}

// flows is the command `identity flows`.
func (e *endpoint) flows(raw *bool) *cobra.Command {
	var dot bool
	c := &cobra.Command{
		Use: "flows [--json|--dot]", Short: "Shows the flows as trees, and who has them run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer json.RawMessage
			if err := e.call(http.MethodGet, "/identity/flows", nil, &answer); err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			if *raw {
				_, err := fmt.Fprintf(w, "%s\n", answer)
				return err
			}
			var g graph
			if err := json.Unmarshal(answer, &g); err != nil {
				return fmt.Errorf("the answer of the gateway: %w", err)
			}
			text := g.tree()
			if dot {
				text = g.dot()
			}
			_, err := io.WriteString(w, text)
			return err
		},
	}
	c.Flags().BoolVar(&dot, "dot", false, "Print a graph for Graphviz")
	return c
}

// tree prints each flow as it was written, with the protects that have it run.
func (g *graph) tree() string {
	var b strings.Builder
	for i := range g.Flows {
		f := &g.Flows[i]
		line(&b, 0, "flow "+f.Name, f.Source, strings.Join(f.On, ", "))
		f.steps(&b, f.Name+"/", 1)
		for _, p := range g.Protects {
			if p.Flow == f.Name {
				line(&b, 1, "← protect", p.Source, p.Site)
			}
			for _, s := range p.StepUps {
				if s.Flow == f.Name {
					line(&b, 1, "← step_up", s.Source, p.Site)
				}
			}
		}
	}
	return b.String()
}

// steps prints those of one block: their ids are a prefix and a number.
func (f *flowOf) steps(b *strings.Builder, prefix string, depth int) {
	for _, n := range f.Nodes {
		place, ok := strings.CutPrefix(n.ID, prefix)
		if !ok || strings.Contains(place, ".") || n.Kind == "start" || n.Kind == "end" {
			continue
		}
		what := append([]string{n.Flow}, n.Reaches...)
		if len(n.Produces) > 0 {
			what = append(what, "sets "+strings.Join(n.Produces, ", "))
		}
		line(b, depth, n.Kind, n.Source, strings.Join(what, " "))
		for _, e := range f.Edges {
			block, inside := strings.CutPrefix(e.To, n.ID+".")
			if e.From != n.ID || e.When == "" && !inside {
				continue
			}
			line(b, depth+1, e.When+":", "", "")
			if inside {
				number, _, _ := strings.Cut(block, ".")
				f.steps(b, n.ID+"."+number+".", depth+2)
			}
		}
	}
}

func line(b *strings.Builder, depth int, words ...string) {
	b.WriteString(strings.Repeat("  ", depth))
	for i, w := range words {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(strings.Map(printable, w))
	}
	b.WriteByte('\n')
}

// dot prints the graph in the language of Graphviz.
func (g *graph) dot() string {
	var b strings.Builder
	b.WriteString("digraph flows {\n\trankdir=TB;\n\tnode [shape=box];\n")
	for i := range g.Flows {
		f := &g.Flows[i]
		fmt.Fprintf(&b, "\tsubgraph %s {\n\t\tlabel=%s;\n", quoted("cluster "+f.Name), quoted("flow "+f.Name))
		for _, n := range f.Nodes {
			label := strings.TrimSpace(n.Kind + " " + n.Flow)
			if n.Source != "" {
				label += "\n" + n.Source
			}
			fmt.Fprintf(&b, "\t\t%s [label=%s];\n", quoted(n.ID), quoted(label))
		}
		for _, e := range f.Edges {
			fmt.Fprintf(&b, "\t\t%s -> %s [label=%s];\n", quoted(e.From), quoted(e.To), quoted(e.When))
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// quoted is a string of Graphviz, which knows no escapes but these.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
