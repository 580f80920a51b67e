package module_test

import (
	"net/http"
	"testing"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/module"
)

// What signals said at the login of a session counts in an explanation as the route's
// flow counts it: by the weights, the bands and the way of its own risk steps (I26).
func TestI26ExplainWeighsReadingsAsTheFlow(t *testing.T) {
	scripts(t, func(*flows.Facts) (flows.Reading, error) { return flows.Reading{Score: 50}, nil })
	g := start(t, people(t)+"signal device device\nsignal place scripted\nsignal other scripted\n"+
		"flow staff {\nlogin corp\nrisk device=30 place=40 {\nbands 20 60\n}\nwhen `risk.score >= 50` {\nrisk other=20 {\nbands 20 55\n}\n}\nrisk place=100 {\nobserve\n}\n}\nflow plain {\nlogin corp\nrisk device place\n}\n",
		"protect /plain/* plain {\nrequire /plain/as `risk.score == 100 && risk.level == \"high\"`\n}\n"+
			"protect staff {\nrequire /as `risk.score == 60 && risk.level == \"high\"`\n}\nreverse_proxy {APP}")
	b := newBrowser(t)
	want(t, g.signIn(b, "/as", "alice", "alicepw"), http.StatusOK)
	want(t, g.signIn(newBrowser(t), "/plain/as", "alice", "alicepw"), http.StatusOK)

	e := func(c module.ExplainCase) *module.Explanation {
		t.Helper()
		c.User, c.Flows = &module.ExplainUser{Attributes: map[string]any{"name": "alice"}}, []string{"staff", "plain"}
		out, err := theApp(t).Explain(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	said := map[string]flows.Reading{"device": {Score: 100}, "place": {Score: 50}, "other": {Score: 50}}
	out := e(module.ExplainCase{URL: g.url("/as"), Readings: said})
	if out.Decision != "allowed" || out.Risk.Score != 60 || out.Risk.Level != "high" || out.Risk.Readings["device"].Contribution != 30 || out.Risk.Readings["place"].Weight != 40 {
		t.Errorf("%s %+v", out.Decision, out.Risk)
	}
	out = e(module.ExplainCase{URL: g.url("/plain/as"), Readings: said})
	if out.Decision != "allowed" || out.Risk.Score != 100 {
		t.Errorf("by another flow: %s %+v", out.Decision, out.Risk)
	}
	// A weight that is written is what it weighed then; one of a signal that the flow
	// does not name counts in full.
	out = e(module.ExplainCase{URL: g.url("/as"), Readings: map[string]flows.Reading{"device": {Score: 100, Weight: 10}, "gone": {Score: 15}}})
	if out.Risk == nil || out.Risk.Score != 25 || out.Risk.Level != "medium" {
		t.Errorf("as it is written: %+v", out.Risk)
	}
	if out = e(module.ExplainCase{URL: g.url("/as"), Readings: map[string]flows.Reading{"place": {Unknown: true}}}); out.Risk == nil || out.Risk.Score != 20 {
		t.Errorf("unknown: %+v", out.Risk)
	}
}
