package log

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

func TestMessenger(t *testing.T) {
	core, entries := observer.New(zapcore.WarnLevel)
	flowstest.TestMessenger(t, flowstest.MessengerCase{
		Guest: &Messenger{log: zap.New(core)}, To: "maria@example.com",
		Got: func() (got []string) {
			for _, e := range entries.All() {
				got = append(got, fmt.Sprint(e.ContextMap()["to"], "\n", e.ContextMap()["text"]))
			}
			return got
		},
	})
	for _, e := range entries.All() {
		if e.Level != zapcore.WarnLevel || !strings.Contains(e.Message, "not sent") {
			t.Errorf("an entry does not say what it is: %v", e.Message)
		}
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for in, want := range map[string]string{"log x": "takes no argument, but got 'x'", "log {\nlevel info\n}": "no options, but got 'level'"} {
		if err := new(Messenger).UnmarshalCaddyfile(caddyfile.NewTestDispenser(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}
