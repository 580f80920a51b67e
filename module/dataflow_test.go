package module_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// validated is what `caddy validate` says of a Caddyfile.
func validated(text string) error {
	b, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(b, cfg); err != nil {
		return err
	}
	return caddy.Validate(cfg)
}

// A name that is not surely there is refused at load wherever it is read: in named
// policies, through policies of policies, behind sub-flows, in `set`, and in the lines of
// a protect (I22).
func TestI22NamesAreTracedThroughPoliciesAndFlows(t *testing.T) {
	const head = "{\nadmin off\nidentity {\nprovider corp local {\nuser alice {env.HOME}\n}\nstore memory\n"
	hash := hashOf(t, "alicepw")
	const policies = "policy it `user.dept == \"it\"`\npolicy deep `policy.it || policy.it`\npolicy safe `has(user.dept) && policy.it`\npolicy risky `risk.score > 10`\n"
	const sets = "flow sets {\nset dept `\"it\"`\n}\nflow maybe {\nwhen `\"x\" in user.groups` {\nset dept `\"it\"`\n}\n}\n"
	for name, tc := range map[string]struct{ flow, rule, want string }{
		"a policy before its set":         {"login corp\nrequire it\nset dept `\"it\"`", "", "user.dept is read where no earlier step surely set it"},
		"through a policy":                {"login corp\nrequire deep\nset dept `\"it\"`", "", "user.dept is read where no earlier step surely set it"},
		"a policy that tests it":          {"login corp\nrequire safe\nset dept `\"it\"`", "", ""},
		"behind its set":                  {"login corp\nset dept `\"it\"`\nrequire deep", "", ""},
		"behind a sub-flow that sets":     {"login corp\nuse sets\nrequire it", "", ""},
		"behind one that may":             {"login corp\nuse maybe\nrequire it", "", "user.dept is read where no earlier step surely set it"},
		"in else_when":                    {"login corp\nuse maybe\nwhen `\"x\" in user.groups` {\n}\nelse_when it {\n}", "", "user.dept is read where no earlier step surely set it"},
		"in a set":                        {"login corp\nuse maybe\nset level `user.dept + \"x\"`", "", "user.dept is read where no earlier step surely set it"},
		"before the login":                {"require it\nlogin corp", "", "user.dept is read before a login step surely ran"},
		"risk without a risk step":        {"login corp\nrequire risky", "", "risk.score is read before a risk step surely ran"},
		"the provider's own":              {"login corp\nrequire it", "require /x it", ""},
		"a line of protect":               {"login corp\nuse sets", "require /x deep", ""},
		"a line, of what may be set":      {"login corp\nuse maybe", "require /x deep", "user.dept is read, but flow staff does not surely set it"},
		"a line that tests":               {"login corp\nuse maybe", "require /x safe", ""},
		"a line about risk":               {"login corp", "require /x risky", "risk.score is read, but flow staff has no risk step"},
		"a line of step_up":               {"login corp\nuse maybe", "step_up /x `user.dept == \"it\"`", "user.dept is read, but flow staff does not surely set it"},
		"the session in a flow":           {"login corp\nrequire `session.age < duration(\"1h\")`", "", "session.age is not there while a flow runs"},
		"the session in a line":           {"login corp", "require /x `session.age < duration(\"1h\")`", ""},
		"absorbed by a flow that may set": {"login corp\nuse maybe\nrequire `\"x\" in user.groups || user.dept == \"it\"`", "", "user.dept is read where"},
	} {
		text := strings.Replace(head, "{env.HOME}", hash, 1) + "factor totp\n" + policies + sets + "flow staff {\n" + tc.flow + "\n}\n}\n}\nhttp://app.example.com:8089 {\nprotect staff {\n" + tc.rule + "\n}\n}\n"
		err := validated(text)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "Caddyfile:")):
			t.Errorf("%s: %v\nwant %s", name, err, tc.want)
		}
	}
}
