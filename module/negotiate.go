package module

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sallyport-gateway/sallyport/flows"
)

// A page that negotiates is answered with 401: a browser that was given a ticket for this
// host asks for the same address again and sends it (RFC 4559 §4). Every other shows the
// page. Nothing but a navigation to the run's own address is answered so, or believed.
const negotiate = "Negotiate"

// maxToken is the longest answer that is decoded: Windows makes none over 65,535 bytes.
const maxToken = 96 << 10

// mayNegotiate reports whether this request may be asked for a ticket.
func (v *visit) mayNegotiate() bool {
	return v.r.Method == http.MethodGet && v.r.URL.Path == "/.identity/flow" && isNavigation(v.r)
}

// negotiated is what the browser sent of that kind: nil if nothing, empty if nothing that
// can be read.
func (v *visit) negotiated() []byte {
	sent := v.r.Header.Values("Authorization")
	if !v.mayNegotiate() || len(sent) == 0 {
		return nil
	}
	scheme, text, _ := strings.Cut(sent[0], " ")
	if !strings.EqualFold(scheme, negotiate) {
		return nil
	}
	token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if len(sent) > 1 || len(text) > maxToken || err != nil {
		return []byte{}
	}
	return token
}

// warnHeaders says when tickets do not fit: those of people in many groups are longer
// than the headers that Caddy takes by default, and they would see 431 and no page.
func (a *App) warnHeaders() {
	i := slices.IndexFunc(a.providers, func(p *flows.Provider) bool {
		_, ok := p.Guest.(flows.Negotiator)
		return ok
	})
	if i < 0 {
		return
	}
	for name, srv := range a.servers() {
		if srv.MaxHeaderBytes < 64<<10 {
			a.log.Warn("tickets of people in many groups do not fit into a request; add to the global options: servers { max_header_size 96KiB }",
				zap.String("provider", a.providers[i].Name), zap.String("server", name), zap.Int("max_header_bytes", srv.MaxHeaderBytes))
		}
	}
}
