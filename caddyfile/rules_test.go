package caddyfile

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/module"
)

// TestI19OrderOfLinesNeverMatters shows the door's share of I19: in a line that
// closes `/x/*` also means `/x`, however it came there, and in one that opens it
// does not. (That order does not matter is shown on Decide.)
func TestI19OrderOfLinesNeverMatters(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		opens     bool
		set, want string
	}{
		{"a path", false, `{"path":["/x/*"]}`, `{"path":["/x/*","/x"]}`},
		{"opening: as it is written", true, `{"path":["/x/*"]}`, `{"path":["/x/*"]}`},
		{"several paths", false, `{"path":["/x/*","/y","/z/*"]}`, `{"path":["/x/*","/x","/y","/z/*","/z"]}`},
		{"already there", false, `{"path":["/x","/x/*"]}`, `{"path":["/x","/x/*"]}`},
		{"everything stays everything", false, `{"path":["/*"]}`, `{"path":["/*"]}`},
		{"a prefix without a slash has no shorter form", false, `{"path":["/x*"]}`, `{"path":["/x*"]}`},
		{"beside other matchers", false, `{"method":["POST"],"path":["/x/*"]}`, `{"method":["POST"],"path":["/x/*","/x"]}`},
		{"excluded from opening: opens less", true, `{"not":[{"path":["/x/*"]}]}`, `{"not":[{"path":["/x/*","/x"]}]}`},
		{"excluded from require: still required", false, `{"not":[{"path":["/x/*"]}]}`, `{"not":[{"path":["/x/*"]}]}`},
		{"a not in a not that closes", false, `{"not":[{"not":[{"path":["/x/*"]}]}]}`, `{"not":[{"not":[{"path":["/x/*","/x"]}]}]}`},
		{"a not in a not that opens", true, `{"not":[{"not":[{"path":["/x/*"]}]}]}`, `{"not":[{"not":[{"path":["/x/*"]}]}]}`},
		{"no path", false, `{"method":["POST"]}`, `{"method":["POST"]}`},
		{"what is no list of paths stays", false, `{"path":7,"not":8}`, `{"not":8,"path":7}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var set caddy.ModuleMap
			if err := json.Unmarshal([]byte(tc.set), &set); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(module.Widen(set, tc.opens))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("Widen(%s) = %s, want %s", tc.set, got, tc.want)
			}
			before, _ := json.Marshal(set)
			var same caddy.ModuleMap
			_ = json.Unmarshal([]byte(tc.set), &same)
			if after, _ := json.Marshal(same); string(before) != string(after) {
				t.Errorf("the matcher itself was changed to %s: other lines use it, too", before)
			}
		})
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	words := []string{"session", "store", "on", "url", "policy"}
	for got, want := range map[string]string{
		"sesion": " (did you mean 'session'?)", "SESSION": " (did you mean 'session'?)",
		"stroe": " (did you mean 'store'?)", "ulr": " (did you mean 'url'?)", "polcyi": " (did you mean 'policy'?)",
		"directory": "", "no": "", "": "",
	} {
		if have := didYouMean(got, words); have != want {
			t.Errorf("didYouMean(%q) = %q, want %q", got, have, want)
		}
	}
}
