package module

import "strings"

const defaultPreserve = 256 << 10

func (v *visit) target() string {
	from := originalOf(v.r)
	if strings.HasPrefix(from.uri, "/") {
		return from.uri
	}
	return from.url.RequestURI()
}
