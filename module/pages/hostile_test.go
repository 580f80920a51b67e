package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/sallyport-gateway/sallyport/flows"
)

var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onfocus='alert(1)' x='`,
	`</title></style></script><svg onload=alert(1)>`,
	`javascript:alert(1)`,
	`{{.Nonce}} {{template "main"}}`,
	"line\r\nSet-Cookie: a=b; script-src 'unsafe-inline'",
	"\u202egnp.exe \x00\xff",
}

// everywhere puts one text into every field there is.
func everywhere(k Kind, s string) View {
	options, _ := json.Marshal(s) // they are our own words, whatever stands in them
	return View{
		Kind: k, Action: s, Token: s, Reason: flows.Reason(s), Text: s, ID: s, Link: s, LinkLabel: s, User: s, Key: s, Back: s, Kept: s, Framer: s,
		Fields: []flows.FormField{{Name: s, Value: s}}, FormAction: []string{s, "https://idp.example/" + s},
		Page: &flows.Page{Kind: s, Problem: flows.Reason(s), Submit: s, Wait: 1, Widgets: []flows.Widget{
			flows.Field{Name: s, Label: s, Value: s, Type: s, Max: -1, Optional: true, Problem: s, Autocomplete: s, Autofocus: true},
			flows.Secret{Name: s, Label: s, Autocomplete: s},
			flows.Choice{Name: s, Value: s, Label: s, Detail: s},
			flows.Note{Code: s, Text: s},
			flows.Note{Code: s},
			flows.Credential{Name: s, Label: s, Options: options},
			flows.Code{Name: s, Label: s},
			flows.QR{Manual: s, Label: s},
			flows.Codes{Codes: []string{s}, Label: s},
			flows.Select{Name: s, Label: s, Value: s, Options: []flows.Entry{{Value: s, Label: s}}},
			flows.Check{Name: s, Label: s, Problem: s},
			flows.Heading{Text: s},
			flows.Heading{Label: s},
			flows.Table{Label: s, Rows: []flows.Row{{Name: s, Value: s}}},
			flows.Terms{Title: s, Version: s, Text: s + "\n\n" + s, URL: s},
			flows.Download{Label: s, Name: s, Type: s, Data: []byte(s)},
		}},
	}
}

func TestB7XSSAndClickjackingHostileTextStaysText(t *testing.T) {
	t.Parallel()
	for _, text := range hostile {
		s := load(t, Options{Title: text})
		for _, k := range append(kinds, Kind(text)) {
			w := get(s, everywhere(k, text))
			policy := w.Header().Get("Content-Security-Policy")
			walk(parse(t, w.Body.String()), func(n *html.Node) { harmless(t, k, n, policy) })
			if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.ContainsAny(csp, "\r\n<") || strings.Contains(csp, "alert") {
				t.Errorf("%s with %q: policy %q", k, text, csp)
			}
			for name, values := range w.Header() {
				if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
					t.Errorf("%s with %q: header %s breaks the line", k, text, name)
				}
			}
		}
	}
}

func harmless(t *testing.T, k Kind, n *html.Node, policy string) {
	t.Helper()
	switch n.Data {
	case "script", "style":
		if !allowed(t, n, policy) {
			t.Errorf("%s: <%s> that is not ours: %v", k, n.Data, n.Attr)
		}
		if n.FirstChild != nil && strings.Contains(n.FirstChild.Data, "alert") {
			t.Errorf("%s: hostile text inside <%s>", k, n.Data)
		}
	case "img", "svg", "iframe", "object", "embed", "base":
		t.Errorf("%s: an injected <%s>", k, n.Data)
	}
	for _, a := range n.Attr {
		if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
			t.Errorf("%s: <%s %s=%q>", k, n.Data, a.Key, a.Val)
		}
		if (a.Key == "href" || a.Key == "action" || a.Key == "formaction" || a.Key == "src") && strings.Contains(strings.ToLower(a.Val), "script:") {
			t.Errorf("%s: <%s %s=%q>", k, n.Data, a.Key, a.Val)
		}
	}
}

// allowed answers as a browser would: a script by its hash, a style by its nonce.
func allowed(t *testing.T, n *html.Node, policy string) bool {
	t.Helper()
	if n.Data == "style" {
		return attr(n, "nonce") == nonceOf(t, policy)
	}
	sum := sha256.Sum256([]byte(textOf(n)))
	_, run, _ := strings.Cut(policy, "script-src ")
	run, _, _ = strings.Cut(run, ";")
	return slices.Contains(strings.Fields(run), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
}

// The text a person should read is on the page, literally.
func TestB7OperatorsWordsAreShownLiterally(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	for _, k := range []Kind{KindError, KindDenied, KindSignedOut, KindStale, KindAsk} {
		found := false
		walk(parse(t, get(s, everywhere(k, hostile[0])).Body.String()), func(n *html.Node) {
			found = found || n.Type == html.TextNode && n.Data == hostile[0]
		})
		if !found {
			t.Errorf("%s: the text is missing", k)
		}
	}
}

func TestB7PolicyOfEveryPage(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	seen := map[string]bool{}
	for _, v := range samples() {
		v.FormAction = []string{"https://IDP.example/authorize?x=1", "https:", "http://127.0.0.1:9000", "http://localhost:*", "*", "https:*", "https://x:*/y\n", "'unsafe-inline'", "data:", "https://a;script-src *"}
		if v.kind() == KindPost {
			v.Action = "https://saml.example:8443/sso"
		}
		h := get(s, v).Header()
		csp := h.Get("Content-Security-Policy")
		nonce := nonceOf(t, csp)
		if seen[nonce] {
			t.Errorf("%s: the nonce was used before", v.Kind)
		}
		seen[nonce] = true
		for _, want := range []string{"default-src 'none'; ", "base-uri 'none'; ", "style-src 'nonce-" + nonce + "'; ", "img-src 'self' data:; "} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", v.Kind, csp, want)
			}
		}
		form := "form-action 'self' https://idp.example https: http://127.0.0.1:9000 http://localhost:*; "
		if v.Kind == KindPost {
			form = "form-action 'self' https://saml.example:8443 https://idp.example https: http://127.0.0.1:9000 http://localhost:*; "
		}
		if !strings.Contains(csp, form) {
			t.Errorf("%s: policy %q lacks %q", v.Kind, csp, form)
		}
		scripts := v.Kind == KindLongAddress || v.Kind == KindResume || v.Kind == KindPost || v.Kind == KindSendAgain || v.Kind == KindKeep || v.Kind == KindAsk && (v.Key != "" || v.Page != nil)
		if strings.Contains(csp, "script-src") != scripts {
			t.Errorf("%s: scripts in %q", v.Kind, csp)
		}
		framed := v.Kind == KindLoginRequired
		if (h.Get("X-Frame-Options") == "DENY") == framed || strings.HasSuffix(csp, "frame-ancestors 'none'") == framed {
			t.Errorf("%s: framing in %v", v.Kind, h)
		}
	}
}

func TestB7FramedByNobodyButWhoIsAnswered(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	for _, tc := range []struct {
		kind         Kind
		framer, want string
	}{
		{KindPost, "https://idp.example/slo?x=1", "https://idp.example"},
		{KindPost, "", "'none'"},
		{KindPost, "https:", "'none'"},
		{KindPost, "*", "'none'"},
		{KindPost, "javascript:x", "'none'"},
		{KindPost, "https://a;script-src *", "'none'"},
		{KindAsk, "https://idp.example/slo", "'none'"},
		{KindConfirmLogout, "https://idp.example/slo", "'none'"},
	} {
		h := get(s, View{Kind: tc.kind, Action: "https://idp.example/slo", Framer: tc.framer}).Header()
		if csp := h.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors "+tc.want) || (h.Get("X-Frame-Options") == "DENY") != (tc.want == "'none'") {
			t.Errorf("%s for %q: %q, %q", tc.kind, tc.framer, csp, h.Get("X-Frame-Options"))
		}
	}
}

func TestB7LinksLeadHereOrToHTTP(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{
		"/": true, "/a?b=c#d": true, "/.identity/flow?h=x": true, "https://idp.example/x": true, "http://127.0.0.1:9000/x": true,
		"": false, "a": false, "//evil.example": false, "/\\evil.example": false, "\\\\evil.example": false, "/\t/evil.example": false,
		"javascript:alert(1)": false, "JaVaScRiPt:alert(1)": false, "java\tscript:alert(1)": false, " javascript:alert(1)": false,
		"data:text/html,x": false, "vbscript:x": false, "https:evil.example": false, "https:///evil.example": false, "http:/evil": false,
		"https://good@evil.example": false, "/a\nb": false, "blob:https://x/": false,
	} {
		if got := safeLink(in); (got == in && in != "") != ok {
			t.Errorf("safeLink(%q) = %q, want ok=%v", in, got, ok)
		}
	}
}

func TestASecretIsNeverSentBack(t *testing.T) {
	t.Parallel()
	s := load(t, Options{})
	walk(parse(t, get(s, samples()[0]).Body.String()), func(n *html.Node) {
		if attr(n, "type") == "password" && attr(n, "value") != "" {
			t.Errorf("a password field with a value: %v", n.Attr)
		}
	})
}

func FuzzB7NoPageBreaks(f *testing.F) {
	for _, h := range hostile {
		f.Add(h)
	}
	s, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range kinds {
			v := everywhere(k, text)
			body, err := s.render("en", "n0nce", &v)
			if err != nil {
				t.Fatal(err)
			}
			walk(parse(t, string(body)), func(n *html.Node) {
				if n.Data == "script" && !allowed(t, n, policy(&v, "n0nce")) {
					t.Errorf("%s: a script that is not ours", k)
				}
			})
			if csp := policy(&v, "n0nce"); strings.Contains(csp, "\n") || strings.Count(csp, ";") > 6 {
				t.Errorf("%s: policy %q", k, csp)
			}
			if _, err := json.Marshal(s.document("en", &v)); err != nil {
				t.Error(err)
			}
		}
	})
}

func nonceOf(t *testing.T, csp string) string {
	t.Helper()
	_, rest, ok := strings.Cut(csp, "'nonce-")
	nonce, _, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 || len(nonce) < 22 {
		t.Fatalf("no nonce of 128 bits in %q", csp)
	}
	return nonce
}

func parse(t *testing.T, s string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func walk(n *html.Node, f func(*html.Node)) {
	for d := range n.Descendants() {
		f(d)
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
