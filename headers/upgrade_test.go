package headers

import (
	"net/http"
	"slices"
	"testing"
)

func TestP6NoUpgradeToAnotherHTTP(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ sent, want []string }{
		{nil, nil},
		{[]string{"websocket"}, []string{"websocket"}},
		{[]string{"WebSocket"}, []string{"WebSocket"}},
		{[]string{"tcp"}, []string{"tcp"}},
		{[]string{"h2c"}, nil},
		{[]string{"H2C"}, nil},
		{[]string{" h2c\t"}, nil},
		{[]string{"h2"}, nil},
		{[]string{"HTTP/2.0"}, nil},
		{[]string{"HTTP / 2.0"}, nil},
		{[]string{"TLS/1.0"}, nil},
		{[]string{"TLS/1.0, HTTP/1.1"}, nil},
		{[]string{"h2c, websocket"}, []string{"websocket"}},
		{[]string{"websocket, h2c"}, []string{"websocket"}},
		{[]string{"websocket,,h2c,", "h2c", "tcp"}, []string{"websocket, tcp"}},
		{[]string{""}, nil},
		{[]string{"h2cx"}, []string{"h2cx"}},
	} {
		h := http.Header{"Http2-Settings": {"AAMAAABk"}, "Accept": {"*/*"}}
		if tc.sent != nil {
			h["Upgrade"] = tc.sent
		}
		CleanUpgrade(h, h["Upgrade"])
		if !slices.Equal(h["Upgrade"], tc.want) {
			t.Errorf("%q: %q, want %q", tc.sent, h["Upgrade"], tc.want)
		}
		if _, left := h["Http2-Settings"]; left && tc.sent != nil || h.Get("Accept") != "*/*" {
			t.Errorf("%q: %v", tc.sent, h)
		}
	}
}
