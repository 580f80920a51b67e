package module

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport-gateway/sallyport/flows"
	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/policy"
	"github.com/sallyport-gateway/sallyport/module/fields"
)

// bound is what an approval binds of a request.
type bound struct {
	sum  []byte
	show []flows.Row
}

// overrides are headers by which frameworks take another method than the request
// line's: what was approved would not be what is done.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Method"}

func notApprovable(format string, args ...any) error {
	return flows.Refuse(flows.ReasonNotApprovable, fmt.Errorf(format, args...))
}

// bind reads the whole request, before anything of it is forwarded, and binds it: no
// canonical form, the very bytes (I20). What could mean something else to the
// application than to whoever approves it is refused.
func (v *visit) bind(p *policy.Proof) (*bound, error) {
	r := v.r
	if err := v.bindable(); err != nil {
		return nil, err
	}
	typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, notApprovable("the content type cannot be read")
	}
	if strings.HasPrefix(typ, "multipart/") && !isNavigation(r) {
		return nil, flows.Refuse(flows.ReasonUnstableBody, errors.New("a browser makes a new boundary each time it sends a multipart body"))
	}
	body, err := v.wholeBody(max(v.p.preserve, defaultPreserve))
	if err != nil {
		return nil, err
	}
	// A trailer comes behind the body, when it is too late to look at.
	if len(r.Trailer) > 0 {
		return nil, notApprovable("a trailer")
	}
	b := &bound{sum: v.sumOf(body)}
	f, err := fields.Of(originalOf(r).url.RawQuery, r.Header.Get("Content-Type"), body)
	if err == nil {
		err = f.Overridden()
	}
	if err != nil {
		return nil, err
	}
	b.show = []flows.Row{{Name: "request", Value: clean(v.r.Method + " " + v.place.host + v.target())}}
	for _, name := range p.Show {
		value, err := f.Only(name)
		if err != nil {
			return nil, err
		}
		b.show = append(b.show, flows.Row{Name: name, Value: value})
	}
	return b, nil
}

// bindable refuses what no body has to be read for.
func (v *visit) bindable() error {
	h := v.r.Header
	if len(h["Upgrade"]) > 0 || v.r.Method == http.MethodConnect {
		return notApprovable("an upgrade")
	}
	for _, name := range overrides {
		if len(h[name]) > 0 {
			return notApprovable("%s names another method", name)
		}
	}
	if e := h["Content-Encoding"]; len(e) > 1 || len(e) == 1 && e[0] != "" && !strings.EqualFold(e[0], "identity") {
		return notApprovable("content encoding %q", e)
	}
	if len(h["Content-Type"]) > 1 {
		return notApprovable("several content types")
	}
	if len(v.r.Trailer) > 0 {
		return notApprovable("a trailer")
	}
	return nil
}

// sumOf binds origin, method, raw target, content type, content encoding and the
// bytes. Each has its length in front, so that nothing can move from one to the next.
func (v *visit) sumOf(body []byte) []byte {
	h := sha256.New()
	for _, part := range [...]string{
		v.place.origin, v.r.Method, v.target(), v.r.Header.Get("Content-Type"), v.r.Header.Get("Content-Encoding"), string(body),
	} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// clean makes a line to be read of what was only parsed as an address.
func clean(s string) string {
	if u, err := url.PathUnescape(s); err == nil && !strings.ContainsFunc(u, audit.Forges) {
		s = u
	}
	s = audit.Clean(s)
	if len(s) > fields.MaxShown {
		s = strings.ToValidUTF8(s[:fields.MaxShown], "") + "…"
	}
	return s
}
