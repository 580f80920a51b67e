package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"slices"
	"strings"
)

//go:embed templates/*.js
var scriptFiles embed.FS

// script is one of our own: the whole element, and its name in a policy.
type script struct {
	element template.HTML
	source  string
	// needs is the id of the element it works on.
	needs string
}

// scripts are built once; templates place them and cannot change them.
var scripts = map[Kind]*script{
	KindAsk:         newScript("", "fragment", "ask"),
	KindKeep:        newScript("go", "fragment", "keep"),
	KindPost:        newScript("post", "fragment", "post"),
	KindSendAgain:   newScript("post", "send_again"),
	KindLongAddress: newScript("go", "long_address"),
	KindResume:      newScript("go", "resume"),
}

// credentialScript runs beside that of the kind, where a page asks for a key.
var credentialScript = newScript("credential", "credential")

// onwardScript submits a page that is only for those who wait.
var onwardScript = newScript("", "onward")

// newScript joins files to one script with a scope of its own.
func newScript(needs string, names ...string) *script {
	var b strings.Builder
	b.WriteString("\n(function () {\n")
	for _, name := range names {
		text, err := scriptFiles.ReadFile("templates/" + name + ".js")
		if err != nil {
			panic(err) // embedded: seen by the first test of anything
		}
		b.Write(text)
	}
	b.WriteString("})();\n")
	sum := sha256.Sum256([]byte(b.String()))
	return &script{
		element: template.HTML("<script>" + b.String() + "</script>"), //nolint:gosec // our own file
		source:  "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		needs:   needs,
	}
}

// scriptsOf are what runs on a page; none on most. A form has nothing to run
// unless there may be a fragment to keep, or a key is asked for, or it goes on by itself.
func scriptsOf(v *View) (all []*script) {
	if sc := scripts[v.kind()]; sc != nil && (v.kind() != KindAsk || v.Key != "") {
		all = append(all, sc)
	}
	if v.kind() == KindAsk && v.Page != nil && slices.ContainsFunc(v.Page.Widgets, isCredential) {
		all = append(all, credentialScript)
	}
	if v.kind() == KindAsk && v.Page != nil && v.Page.Auto {
		all = append(all, onwardScript)
	}
	return all
}

// refresh goes on without JavaScript, too: a browser with scripts ignores it.
func refresh(link string) template.HTML {
	return template.HTML(`<noscript><meta http-equiv="refresh" content="0;url=` + template.HTMLEscapeString(link) + `"></noscript>`) //nolint:gosec // escaped
}
