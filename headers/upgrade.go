package headers

import (
	"net/http"
	"strings"
)

// CleanUpgrade removes from a request the wish to go on in another form of
// HTTP: what an upgraded connection carries passes nobody. A client and an
// application that agree on h2c would talk about every path as everybody. RFC
// 9113 §3.1 took that upgrade back; WebSockets and others stay. lines are what h
// has for Upgrade.
func CleanUpgrade(h http.Header, lines []string) {
	if lines == nil {
		return
	}
	var keep []string
	for _, l := range lines {
		for p := range strings.SplitSeq(l, ",") {
			if p = strings.Trim(p, " \t"); p != "" && !carriesHTTP(p) {
				keep = append(keep, p)
			}
		}
	}
	delete(h, "Http2-Settings")
	if len(keep) == 0 {
		delete(h, "Upgrade")
		return
	}
	h["Upgrade"] = []string{strings.Join(keep, ", ")}
}

// carriesHTTP reports whether requests follow a switch to the protocol: other
// versions of HTTP, and TLS with HTTP inside (RFC 2817 §3).
func carriesHTTP(protocol string) bool {
	name, _, _ := strings.Cut(protocol, "/")
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case "h2c", "h2", "h3", "http", "https", "tls":
		return true
	}
	return false
}
