package module

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// response is the application's answer on its way back: it cannot set our
// cookies (I12), and what was shown to somebody is never public (B8).
type response struct {
	caddyhttp.ResponseWriterWrapper
	v *visit
	// own has cookies of ours, added behind the application's; nil for almost every answer.
	own   http.Header
	wrote bool
	// private marks answers that depend on who is there.
	private, vary bool
	// only is the room of the commonest Cache-Control; a shared slice could be edited in place.
	only [1]string
}

// wrap returns the writer for the handlers behind us; the same one when asked again.
func (v *visit) wrap(w http.ResponseWriter) http.ResponseWriter {
	if v.out.v != nil {
		return w
	}
	v.out.v, v.out.ResponseWriter = v, w
	return &v.out
}

// WriteHeader cleans the answer's headers, once, before they are sent.
func (o *response) WriteHeader(status int) {
	if status > 100 && status < 200 && status != http.StatusSwitchingProtocols && !o.v.answering {
		o.v.app.ownCookies().DropSet(o.Header())
	}
	if !o.wrote && (status < 100 || status > 199 || status == http.StatusSwitchingProtocols) {
		o.wrote = true
		o.clean()
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *response) Write(b []byte) (int, error) {
	if !o.wrote {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriter.Write(b)
}

// ReadFrom keeps the fast path of files and proxied bodies, behind the cleaning.
func (o *response) ReadFrom(r io.Reader) (int64, error) {
	if !o.wrote {
		o.WriteHeader(http.StatusOK)
	}
	return o.ResponseWriterWrapper.ReadFrom(r)
}

// Unwrap lets http.ResponseController reach Flush and Hijack.
func (o *response) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *response) clean() {
	if o.v.answering {
		return
	}
	h := o.Header()
	o.v.app.ownCookies().DropSet(h)
	if o.own != nil {
		h["Set-Cookie"] = append(h["Set-Cookie"], o.own["Set-Cookie"]...)
	}
	if o.private {
		// RFC 9213: these overrule Cache-Control in the caches they speak to.
		for _, name := range [...]string{"Cdn-Cache-Control", "Surrogate-Control"} { // canonical, as net/http reads them
			if h[name] != nil { // deleting what is not there costs more than looking
				delete(h, name)
			}
		}
		if cc := h["Cache-Control"]; len(cc) == 0 {
			o.only[0] = "private"
			h["Cache-Control"] = o.only[:]
		} else {
			h["Cache-Control"] = privately(cc)
		}
	}
	if o.vary {
		h.Add("Vary", "Cookie")
		if p := o.v.p; p.gate != nil && p.api != nil {
			h.Add("Vary", "Authorization")
		}
	}
}

// privately makes an application's Cache-Control safe for an answer that was
// made for one person.
func privately(values []string) []string {
	all := strings.ToLower(strings.Join(values, ","))
	if !strings.Contains(all, "public") && !strings.Contains(all, "s-maxage") {
		if strings.Contains(all, "private") || strings.Contains(all, "no-store") {
			return values
		}
		return append([]string{"private"}, values...)
	}
	keep := []string{"private"}
	for d := range strings.SplitSeq(strings.Join(values, ","), ",") {
		d = strings.TrimSpace(d)
		name, _, _ := strings.Cut(strings.ToLower(d), "=")
		if name != "" && name != "public" && name != "s-maxage" && name != "private" {
			keep = append(keep, d)
		}
	}
	return []string{strings.Join(keep, ", ")}
}
