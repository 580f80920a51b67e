package headers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
	"github.com/sallyport-gateway/sallyport/headers"
)

// custom makes an operator's own dialect as the hall does: the base gets the
// options of the dialect.
func custom(t *testing.T, config string) (*headers.Custom, error) {
	t.Helper()
	c := &headers.CustomConfig{}
	if err := caddy.StrictUnmarshalJSON([]byte(config), c); err != nil {
		t.Fatal(err)
	}
	var base flows.Dialect
	if c.Base != "" {
		raw, err := json.Marshal(c.HeaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		info, err := caddy.GetModule("identity.headers." + c.Base)
		if err != nil {
			t.Fatal(err)
		}
		if base, err = provision(t, info, raw); err != nil {
			return nil, err
		}
	}
	return headers.NewCustom(c, base)
}

// TestP14B22B23CustomGoldens: an operator's own dialect in, exact bytes out.
func TestP14B22B23CustomGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/custom/*.golden")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	w := headers.NewWire(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, want, _ := strings.Cut(string(b), "----------\n")
			d, err := custom(t, config)
			if err != nil {
				t.Fatal(err)
			}
			flowstest.TestDialect(t, d, headers.Encode)
			got := "strips " + strings.Join(d.Owned(), " ") + "\n" + leave(d)
			for _, name := range []string{"full", "bare", "empty", "unicode", "hostile", "huge"} {
				got += fmt.Sprintf("\n# %s\n%s", name, wire(t, w, d, goldenFacts(t, name)))
			}
			if nobody := wire(t, w, d, nil); nobody != "" {
				got += "\n# nobody\n" + nobody
			}
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			if err := os.WriteFile(file, []byte(config+"----------\n"+got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCustomRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ config, want string }{
		{`{}`, "it sends nothing"},
		{`{"base":"openam"}`, "it sends nothing"},
		{`{"strip":["X-A"]}`, "it sends nothing"},
		{`{"headers":[{"name":"Host","value":"{user.name}"}]}`, "belongs to the connection"},
		{`{"headers":[{"name":"X-A","value":"{user.name"}]}`, "a { is not closed"},
		{`{"headers":[{"name":"X-A","value":"a"},{"name":"x_a","value":"b"}]}`, "header x_a is written twice"},
		{`{"groups":"X-A","headers":[{"name":"X-A","value":"a"}]}`, "header X-A is written twice"},
		{`{"groups":"X-A","strip":["A*"]}`, "at least two characters"},
		{`{"groups":"X-A","strip":["Con*"]}`, "would take"},
		{`{"groups":"X-A","encode":"hex"}`, "unknown encoding"},
		{`{"base":"webseal","encode":"hex"}`, "unknown encoding"},
		{`{"base":"mellon","groups":"X-A","quote":";"}`, "share a character"},
		{`{"groups":"X-A","logout":["*"]}`, "would end every session"},
		{`{"groups":"X-A","clear_cookie":["a;b"]}`, "is no cookie name"},
	} {
		if _, err := custom(t, tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.config, err, tc.want)
		}
	}
}

// TestB11CustomStripsItsBase: what the base owns stays stripped also where an own
// header stands in its place, and no second protect can send the same.
func TestB11CustomStripsItsBase(t *testing.T) {
	t.Parallel()
	d, err := custom(t, `{"base":"siteminder","headers":[{"name":"SM_USER","value":"{user.email}"}],"strip":["X-Corp-*"]}`)
	if err != nil {
		t.Fatal(err)
	}
	s := headers.NewStripper(d.Owned())
	for _, n := range []string{"SM_USER", "sm-user", "SM_ANYTHING", "SMUSER", "X-Corp-A", "x_corp_b"} {
		if !s.Owns(n) {
			t.Errorf("a client may send %s", n)
		}
	}
	preset, _, err := load(t, "siteminder")
	if err != nil {
		t.Fatal(err)
	}
	for _, two := range [][]flows.Dialect{{d, preset}, {preset, d}} {
		if _, err := headers.NewPlan(two...); err == nil || !strings.Contains(err.Error(), "cannot tell apart") {
			t.Errorf("sent twice: %v", err)
		}
	}
	mellon, _, err := load(t, "mellon")
	if err != nil {
		t.Fatal(err)
	}
	openam, _, err := load(t, "openam {\n attribute MELLON_extra name\n}")
	if err != nil {
		t.Fatal(err)
	}
	for _, two := range [][]flows.Dialect{{mellon, openam}, {openam, mellon}} {
		if _, err := headers.NewPlan(two...); err == nil || !strings.Contains(err.Error(), "MELLON_") {
			t.Errorf("a name in another's family: %v", err)
		}
	}
}

// TestCustomReplacesLateHeaders: also a header that changes per request.
func TestCustomReplacesLateHeaders(t *testing.T) {
	t.Parallel()
	d, err := custom(t, `{"base":"siteminder","headers":[{"name":"SM_TIMETOEXPIRE","value":"never"},{"name":"X-Age","value":"{auth.age}"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.PerRequest(); !slices.Equal(got, []string{"SM_TRANSACTIONID", "X-Age"}) {
		t.Errorf("per request: %q", got)
	}
	got := wire(t, headers.NewWire(t), d, readFacts(t, "full"))
	if !strings.Contains(got, "SM_TIMETOEXPIRE: never\n") || !strings.Contains(got, "X-Age: 3600\n") || !strings.Contains(got, "SM_TRANSACTIONID: <random>\n") {
		t.Errorf("got\n%s", got)
	}
}
