package demo

import (
	"bytes"
	"crypto/subtle"
	"embed"
	"html/template"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// cookieName is the provider's own session; the gateway never sees it, it is
// another host.
const cookieName = "demo_provider"

//go:embed pages/*.html
var pageFiles embed.FS

var pageTemplates = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

type signInPage struct {
	ID, Problem, Name string
	People            []person
}

func (p *provider) showSignIn(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if c, err := r.Cookie(cookieName); err == nil && p.storage.resume(id, c.Value) {
		p.back(w, r, id)
		return
	}
	writePage(w, http.StatusOK, "sign-in", signInPage{ID: id, People: people})
}

func (p *provider) doSignIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	id, name := r.PostFormValue("id"), r.PostFormValue("username")
	who, known := personNamed(name)
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("password")), []byte(who.Password)) != 1 || !known {
		writePage(w, http.StatusUnauthorized, "sign-in", signInPage{ID: id, Name: name, Problem: "Wrong name or password.", People: people})
		return
	}
	cookie, err := p.storage.finish(id, who.Name)
	if err != nil {
		writePage(w, http.StatusBadRequest, "expired", nil)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	p.back(w, r, id)
}

// back leads to the library's end of the sign-in, which leads to the client.
func (p *provider) back(w http.ResponseWriter, r *http.Request, id string) {
	to := op.AuthCallbackURL(p.op)(op.ContextWithIssuer(r.Context(), p.issuer), id)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func writePage(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, name+".html", data); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
