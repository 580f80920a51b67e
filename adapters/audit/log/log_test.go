package log

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sallyport-gateway/sallyport/flows/audit"
	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// buffer is where a test's log goes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) text() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String(), nil
}

func sink(enc zapcore.Encoder, level zapcore.Level) (*Sink, *buffer) {
	b := new(buffer)
	return &Sink{log: zap.New(zapcore.NewCore(enc, zapcore.AddSync(b), level))}, b
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, enc := range map[string]func(zapcore.EncoderConfig) zapcore.Encoder{
		"json": zapcore.NewJSONEncoder, "console": zapcore.NewConsoleEncoder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flowstest.TestSink(t, func(*testing.T) flowstest.Sink {
				s, b := sink(enc(zap.NewProductionEncoderConfig()), zapcore.InfoLevel)
				return flowstest.Sink{Sink: s, Written: b.text}
			})
		})
	}
}

func TestP15ValuesAreHarmlessBeforeAnyEncoder(t *testing.T) {
	t.Parallel()
	e := flowstest.AuditEvent("e-1\n")
	e.Name, e.AMR, e.Detail = "eve\n\x1b[2J", []string{"pwd\r"}, "\u009b\u202e"
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields(e) {
		f.AddTo(m)
	}
	for name, v := range m.Fields {
		for _, s := range texts(v) {
			if strings.ContainsFunc(s, audit.Forges) {
				t.Errorf("%s reaches the encoder as %q", name, s)
			}
		}
	}
	if got := m.Fields["name"]; got != `eve\u000a\u001b[2J` {
		t.Errorf("name = %q", got)
	}
}

func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	}
	return out
}

func TestI25AFilteredLogIsAnError(t *testing.T) {
	t.Parallel()
	quiet, text := sink(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.ErrorLevel)
	if err := quiet.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := quiet.Write(context.Background(), audit.Event{ID: "kept"}); err != nil {
		t.Errorf("a log of errors only: %v", err)
	}
	if got, _ := text.text(); !strings.Contains(got, "kept") {
		t.Errorf("a log of errors only lost the trail: %q", got)
	}
	s, b := sink(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.FatalLevel)
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "audit file") {
		t.Errorf("Validate: %v", err)
	}
	trail := audit.NewTrail(nil, s)
	defer trail.Close()
	if r, err := trail.Before(context.Background(), audit.Event{ID: "a"}); err == nil || r.Valid() {
		t.Errorf("a dropped entry gave a receipt: %v", err)
	}
	if text, _ := b.text(); text != "" {
		t.Errorf("written: %q", text)
	}
}

func TestCaddyfile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, err string }{
		{in: "log"},
		{in: "log x", err: "takes no arguments, found 'x'"},
		{in: "log {\n level info\n}", err: "has no options, found 'level'"},
	} {
		err := new(Sink).UnmarshalCaddyfile(caddyfile.NewTestDispenser(tc.in))
		if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%q: %v, want %q", tc.in, err, tc.err)
		}
	}
}
