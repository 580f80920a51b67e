package pages

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the golden pages anew")

func load(t *testing.T, o Options) *Set {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get asks as a browser that navigates; header pairs override.
func get(s *Set, v View, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/.identity/flow", nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Write(w, r, http.StatusOK, v)
	return w
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewRefusesWhatItCannotShow(t *testing.T) {
	t.Parallel()
	tmpl := func(name, content string) Options { return Options{Templates: filepath.Dir(write(t, name, content))} }
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"no logo", Options{Logo: "nowhere/logo.png"}, "logo: open nowhere/logo.png"},
		{"logo is a directory", Options{Logo: t.TempDir()}, "logo: "},
		{"logo is text", Options{Logo: write(t, "logo.png", "hello")}, "neither svg, png, jpeg nor webp"},
		{"logo too large", Options{Logo: write(t, "logo.png", "\x89PNG\r\n\x1a\n"+strings.Repeat("x", maxLogo))}, "larger than 256 KiB"},
		{"colour", Options{Accent: "red"}, "accent 'red' is no colour"},
		{"colour with more", Options{Accent: "#fff;}</style>"}, "is no colour"},
		{"no directory", Options{Templates: "nowhere"}, "page templates: open nowhere"},
		{"unknown template", tmpl("chooser.html", ""), "no page is called 'chooser.html'; there are: account.html, ask.html, "},
		{"syntax", tmpl("ask.html", `{{define "main"}}{{if}}{{end}}`), "page template: "},
		{"unknown field", tmpl("message.html", `{{define "main"}}{{.Nothing}}{{end}}`), "can't evaluate field Nothing"},
		{"unsafe place", tmpl("message.html", `{{define "main"}}<a href={{if .Text}}"{{end}}x>{{end}}`), "drawing page"},
		{"language", Options{Languages: []string{"en", "tlh"}}, "no language is called 'tlh'; there are: de, en, es, fr"},
		{"language twice", Options{Languages: []string{"en", "en"}}, "named twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want an error with %q, got %v", tc.want, err)
			}
		})
	}
}

func TestTemplatesReplaceTheEmbeddedOnes(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(write(t, "message.html", `{{define "main"}}<p>House style: {{.Text}}</p>{{end}}`))
	s := load(t, Options{Templates: dir})
	if body := get(s, View{Kind: KindDenied, Text: "<b>"}).Body.String(); !strings.Contains(body, "House style: &lt;b&gt;") {
		t.Errorf("want the operator's template, escaped, got %s", body)
	}
	if body := get(s, View{Kind: KindAsk}).Body.String(); strings.Contains(body, "House style") || !strings.Contains(body, "<form") {
		t.Errorf("want the other pages unchanged, got %s", body)
	}
}

func TestLogoAndTitleStandAboveEveryPage(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"png": "\x89PNG\r\n\x1a\nrest", "jpeg": "\xff\xd8\xffrest", "webp": "RIFF1234WEBPrest", "svg+xml": `<?xml version="1.0"?><svg/>`,
	} {
		s := load(t, Options{Title: "Payroll", Logo: write(t, "logo", content)})
		for _, v := range samples() {
			body := get(s, v).Body.String()
			if !strings.Contains(body, `<img src="data:image/`+strings.ReplaceAll(name, "+", "&#43;")+`;base64,`) && !strings.Contains(body, `<img src="data:image/`+name+`;base64,`) {
				t.Errorf("%s on %s: no logo in %.900s", name, v.Kind, body)
			}
			if !strings.Contains(body, `<p class="name">Payroll</p>`) || !strings.Contains(body, " · Payroll</title>") {
				t.Errorf("%s: no title", v.Kind)
			}
		}
	}
}

func TestHeadAndStatusAndRetryAfter(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	r := httptest.NewRequest(http.MethodHead, "/", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	s.Write(w, r, http.StatusServiceUnavailable, View{Kind: KindError, RetryAfter: 30})
	if w.Code != 503 || w.Body.Len() != 0 || w.Header().Get("Retry-After") != "30" || w.Header().Get("Content-Length") == "" {
		t.Errorf("got %d, %d bytes, %v", w.Code, w.Body.Len(), w.Header())
	}
	if w = get(s, View{Kind: KindError}); w.Header().Get("Retry-After") != "" {
		t.Error("Retry-After without a reason")
	}
}

func TestB8NothingIsCached(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	for _, v := range samples() {
		for _, accept := range []string{"text/html", "application/json"} {
			h := get(s, v, "Accept", accept).Header()
			if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s as %s: %v", v.Kind, accept, h)
			}
			for _, name := range []string{"Accept", "Accept-Language", "Cookie"} {
				if !strings.Contains(h.Get("Vary")+",", name+",") {
					t.Errorf("%s: Vary %q lacks %s", v.Kind, h.Get("Vary"), name)
				}
			}
			// With no-referrer our own forms would post "Origin: null" (I11).
			// The application must not see our address as the one that a person came from.
			if want := map[bool]string{false: "same-origin", true: "no-referrer"}[v.Kind == KindResume]; h.Get("Referrer-Policy") != want {
				t.Errorf("%s: Referrer-Policy %q", v.Kind, h.Get("Referrer-Policy"))
			}
		}
	}
}

func TestHeadersOfTheCallerStay(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	w.Header().Set("WWW-Authenticate", "Sallyport")
	w.Header().Set("Vary", "Origin")
	load(t, Options{}).Write(w, httptest.NewRequest(http.MethodGet, "/", nil), 401, View{Kind: KindLoginRequired})
	if w.Header().Get("WWW-Authenticate") != "Sallyport" || w.Header().Values("Vary")[0] != "Origin" {
		t.Errorf("got %v", w.Header())
	}
}

func TestAccentIsReadableWhateverItIs(t *testing.T) {
	t.Parallel()
	for _, hex := range []string{"#000", "#fff", "#ffd400", "#ff0000", "#00ff00", "#0000ff", "#777777", "#767676", "#1f5fbf", "#191d24"} {
		c := parseColour(hex)
		for _, p := range []string{paper, darkPaper} {
			towards := colour{}
			if p == darkPaper {
				towards = parseColour(paper)
			}
			if got := contrast(c.until(parseColour(p), towards, readable), parseColour(p)); got < readable {
				t.Errorf("link of %s on %s: contrast %.2f", hex, p, got)
			}
		}
		if got := contrast(c, parseColour(c.ink())); got < readable {
			t.Errorf("text on %s: contrast %.2f", hex, got)
		}
	}
	if got := string(load(t, Options{Accent: "#0a7"}).style); !strings.Contains(got, "--accent: #00aa77") {
		t.Errorf("accent is missing in %.600s", got)
	}
}

func TestOneSetServesManyAtOnce(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Languages: knownLanguages()})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, v := range samples() {
				get(s, v)
				get(s, v, "Accept", "application/json")
			}
		})
	}
	wg.Wait()
}

func TestGoldenPages(t *testing.T) {
	t.Parallel()
	s := load(t, Options{Title: "Payroll"})
	s.style = "/* */"
	views := map[string]View{}
	for _, v := range samples() {
		if v.Token != "" { // the others are the empty ones
			views[string(v.kind())+"_full"] = v
		}
	}
	for name, v := range views {
		got, err := s.render("en", "nonce", &v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil { //nolint:gosec // a test file
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s changed (go test -update writes it anew):\n%s", path, got)
		}
	}
}
