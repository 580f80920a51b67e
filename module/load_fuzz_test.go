package module_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Whatever stands in the JSON of flows and policies, it is loaded or refused
// with an error, and nothing panics.
func FuzzFlowJSON(f *testing.F) {
	for _, s := range []string{
		`[{"step":"login"}]`, `[{"step":"login","providers":["corp"]}]`, `[{"step":"use","flow":"default"}]`, `[{"step":"use","flow":"other"}]`,
		`[{"step":"when","if":{"cel":"true"},"then":[{"step":"login"}]}]`, `[{"step":"when","branches":[{"if":{"policy":"p"},"steps":[{"step":"login"}]}]}]`,
		`[{"step":"deny","if":{"cel":"user.name == 'x'"}},{"step":"login"}]`, `[{"step":"login"},{"step":"require","cel":"1"}]`,
		`[]`, `null`, `[null]`, `[{}]`, `[[]]`, `{}`, `"x"`, `[{"step":null}]`, `[{"step":""}]`, `[{"step":"no_such_step"}]`, `[{"step":"login","no_such_field":1}]`,
		strings.Repeat(`[{"step":"when","then":`, 200), `[{"step":"login","step":"deny"}]`,
	} {
		f.Add(s)
	}
	dir := scratch(f)
	f.Fuzz(func(_ *testing.T, steps string) {
		if !json.Valid([]byte(steps)) {
			steps = fmt.Sprintf("%q", steps)
		}
		text := `{"admin":{"disabled":true},"logging":{"logs":{"default":{"level":"PANIC"}}},"storage":{"module":"file_system","root":` + fmt.Sprintf("%q", dir) + `},"apps":{"identity":{
			"providers":{"corp":{"type":"local"}},"policies":{"p":"true"},"keys":["0123456789abcdef0123456789abcdef"],"store":{"backend":"memory"},
			"flows":{"default":{"steps":` + steps + `},"other":{"steps":[{"step":"login"}]}}}}}`
		var cfg caddy.Config
		if json.Unmarshal([]byte(text), &cfg) != nil {
			return
		}
		_ = caddy.Validate(&cfg)
	})
}
