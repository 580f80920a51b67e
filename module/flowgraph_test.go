package module_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sallyport-gateway/sallyport/module"
)

// graphed are flows with every way there is from one step to the next.
const graphed = `policy office ` + "`request.ip == \"127.0.0.1\"`" + `
flow staff {
	login corp
	when office {
		set place ` + "`\"office\"`" + `
	}
	else_when ` + "`\"admins\" in user.groups`" + ` {
	}
	else {
		deny "Please use the office network."
	}
	choose {
		option first "One"
		option second "Two" {
			use terms
		}
	}
	use terms
	when office {
		deny "never"
	}
}
flow terms {
	consent terms 1 {
		title "The terms"
		text "Be kind."
	}
}
flow told {
	on user_disabled
	deny "nothing"
}
`

const graphedSite = "protect staff {\nrequire /admin/* office \"No.\"\nstep_up /pay/* staff\n}\nreverse_proxy {APP}"

// schemaOf compiles what the gateway publishes.
func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(adminRaw(t, "/identity/flows/schema")))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("flows.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("flows.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// adminRaw is the body of a GET.
func adminRaw(t testing.TB, target string) []byte {
	t.Helper()
	for _, route := range (module.AdminAPI{}).Routes() {
		if route.Pattern == target {
			w := httptest.NewRecorder()
			if err := route.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil)); err != nil {
				t.Fatal(err)
			}
			return w.Body.Bytes()
		}
	}
	t.Fatalf("no route is %s", target)
	return nil
}

// What the gateway answers is what its schema says, and a graph that leads somewhere.
func TestFlowsAsAGraph(t *testing.T) {
	start(t, people(t)+graphed, graphedSite)
	schema := schemaOf(t)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(adminRaw(t, "/identity/flows")))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Fatal(err)
	}
	_, out := admin(t, http.MethodGet, "/identity/flows")
	all := map[string]map[string]any{}
	for _, f := range out["flows"].([]any) {
		f := f.(map[string]any)
		all[f["name"].(string)] = f
		soundGraph(t, f)
	}
	if len(all) != 3 || all["staff"]["signs_in"] != true || all["terms"]["signs_in"] != false || fmt.Sprint(all["told"]["on"]) != "[user_disabled]" {
		t.Errorf("flows: %v", all)
	}
	edges := map[string]string{}
	for _, e := range all["staff"]["edges"].([]any) {
		e := e.(map[string]any)
		edges[fmt.Sprintf("%s>%s", e["from"], e["to"])] = fmt.Sprint(e["when"])
	}
	for way, when := range map[string]string{
		"staff/start>staff/0": "<nil>", "staff/0>staff/1": "<nil>", "staff/1>staff/1.0.0": "office", "staff/1.0.0>staff/2": "<nil>",
		"staff/1>staff/2": `"admins" in user.groups`, "staff/1>staff/1.2.0": "else", "staff/2>staff/3": "first", "staff/2>staff/2.1.0": "second",
		"staff/2.1.0>staff/3": "<nil>", "staff/3>staff/4": "<nil>", "staff/4>staff/4.0.0": "office", "staff/4>staff/end": "<nil>",
	} {
		if got, ok := edges[way]; !ok || got != when {
			t.Errorf("the way %s: want %q, got %q, %v", way, when, got, ok)
		}
		delete(edges, way)
	}
	if len(edges) > 0 {
		t.Errorf("more ways: %v", edges)
	}
	nodes := fmt.Sprint(all["staff"]["nodes"])
	for _, want := range []string{"map[id:staff/0 kind:login produces:[user] reaches:[provider:corp] source:Caddyfile:", "ends:true", "flow:terms", "produces:[user.place]", "reads:[request.ip user.groups]", "waits:true"} {
		if !strings.Contains(nodes, want) {
			t.Errorf("the nodes have no %q: %s", want, nodes)
		}
	}
	p := out["protects"].([]any)
	if one := fmt.Sprint(p[0]); len(p) != 1 || !strings.Contains(one, "flow:staff") || !strings.Contains(one, "step_ups:[map[flow:staff source:Caddyfile:") || !strings.Contains(one, "site:127.0.0.1, localhost") {
		t.Errorf("protects: %v", p)
	}
	// The same config has the same ids.
	if again := adminRaw(t, "/identity/flows"); !bytes.Equal(again, adminRaw(t, "/identity/flows")) {
		t.Error("two answers differ")
	}
}

// soundGraph fails unless every id is there once, and every edge leads from one to another.
func soundGraph(t *testing.T, f map[string]any) {
	t.Helper()
	ids := map[string]bool{}
	for _, n := range f["nodes"].([]any) {
		id := n.(map[string]any)["id"].(string)
		if ids[id] {
			t.Errorf("%s is there twice", id)
		}
		ids[id] = true
	}
	for _, e := range f["edges"].([]any) {
		e := e.(map[string]any)
		if !ids[e["from"].(string)] || !ids[e["to"].(string)] {
			t.Errorf("an edge leads nowhere: %v", e)
		}
	}
}

// A schema that takes anything would prove nothing.
func TestTheSchemaOfFlowsRefuses(t *testing.T) {
	start(t, people(t), plainSite)
	schema := schemaOf(t)
	for _, doc := range []string{
		`{"flows":[]}`,
		`{"flows":[],"protects":[],"more":1}`,
		`{"flows":[{"name":"a","signs_in":true,"nodes":[],"edges":[]}],"protects":[]}`,
		`{"flows":[],"protects":[{"flow":"A B"}]}`,
		`{"flows":[{"name":"a","signs_in":true,"nodes":[{"id":"a/start","kind":"start"},{"id":"elsewhere","kind":"end"}],"edges":[]}],"protects":[]}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("taken: %s", doc)
		}
	}
}
