package fields

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// FuzzI20ShownIsWhatIsThere: whatever the bytes are, a value that is shown is the only
// one that ordinary parsers find under the name.
func FuzzI20ShownIsWhatIsThere(f *testing.F) {
	for _, s := range []string{
		`{"amount":1}`, `{"amount":1,"Amount":2}`, `{"amount":"\u0031"}`, `{"a":{"amount":2},"amount":3.50}`, `{"amount":1e2}`,
		"amount=1", "amount=1&Amount=2", "amount=1;amount=2", "amount=%31&x", "amount[]=1&amount=2", "&&amount=1", "amo%75nt=1",
		`[1]`, `"amount"`, `{"amount":null}`, "{}", "\xff", `{"amount":1}x`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, body string, asJSON bool) {
		typ := "application/x-www-form-urlencoded"
		if asJSON {
			typ = "application/json"
		}
		got, err := Of("", typ, []byte(body))
		if err != nil {
			return
		}
		value, err := got.Only("amount")
		if err != nil {
			return
		}
		if !asJSON {
			q, err := url.ParseQuery(body)
			if err != nil || len(q["amount"]) != 1 || q.Get("amount") != value {
				t.Fatalf("shown is %q, a form's parser reads %q, %v", value, q["amount"], err)
			}
			return
		}
		var loose struct{ Amount json.RawMessage } // ignores case, the last one counts
		if err := json.Unmarshal([]byte(body), &loose); err != nil {
			t.Fatalf("shown is %q of what is no JSON: %v", value, err)
		}
		var text string
		if json.Unmarshal(loose.Amount, &text) != nil {
			text = strings.TrimSpace(string(loose.Amount))
		}
		if text != value {
			t.Fatalf("shown is %q, a JSON parser reads %q", value, text)
		}
	})
}
