package pages

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
)

// WriteFile hands the file of a [flows.Download] over. It is an answer to a form
// and not a data: address in the page, which browsers keep in their list of
// downloads with all that is in it. Nothing in the file can run as a page of ours.
func WriteFile(w http.ResponseWriter, d flows.Download) {
	h := w.Header()
	secure(h)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Type", mediaType(d.Type))
	h.Set("Content-Disposition", disposition(d.Name))
	h.Set("Content-Length", strconv.Itoa(len(d.Data)))
	_, _ = w.Write(d.Data)
}

// File is the download of this name on a page; nil if the page offers another one only.
func File(p *flows.Page, name string) (file *flows.Download, offers bool) {
	for _, w := range p.Widgets {
		if d, ok := w.(flows.Download); ok {
			offers = true
			if d.Name == name {
				file = &d
			}
		}
	}
	return file, offers
}

// mediaType passes what is one.
func mediaType(s string) string {
	if typ, params, err := mime.ParseMediaType(s); err == nil && strings.Contains(typ, "/") {
		if s = mime.FormatMediaType(typ, params); s != "" {
			return s
		}
	}
	return "application/octet-stream"
}

// disposition is the header that makes a browser save a file (RFC 6266). What a
// name may not hold is cut off here as browsers do it: a name is no path.
func disposition(name string) string {
	name = strings.ToValidUTF8(name, "")
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); name != "" && d != "" {
		return d
	}
	return "attachment"
}
