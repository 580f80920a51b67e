package demo

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/certmagic"

	"github.com/sallyport-gateway/sallyport/examples/quickstart"
)

// startGateway runs the quickstart's Caddyfile. What the demo changes in it is
// where it listens (loopback only), where it keeps things (a temporary folder)
// and where it logs; it has no admin endpoint.
func startGateway(s *site, o Options) error {
	for _, kv := range s.environment() {
		name, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME"} {
		if err := os.Setenv(name, data); err != nil {
			return err
		}
	}
	caddy.DefaultStorage = &certmagic.FileStorage{Path: filepath.Join(data, "caddy")}
	config, err := s.config(o)
	if err != nil {
		return err
	}
	// What Caddy says before it knows our log is of interest only if it fails.
	_, stderr, _ := caddy.BufferedLog()
	if err := caddy.Run(config); err != nil {
		caddy.UnbufferDefaultLogger(stderr)
		return fmt.Errorf("starting the gateway: %w", err)
	}
	return nil
}

func stopGateway() error { return caddy.Stop() }

func (s *site) config(o Options) (*caddy.Config, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, fmt.Errorf("this build has no Caddyfile adapter")
	}
	raw, _, err := adapter.Adapt(quickstart.Caddyfile, map[string]any{"filename": "examples/quickstart/Caddyfile"})
	if err != nil {
		return nil, fmt.Errorf("examples/quickstart/Caddyfile: %w", err)
	}
	if raw, err = s.onLoopback(raw); err != nil {
		return nil, err
	}
	var config caddy.Config
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	no := false
	config.Admin = &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &no}}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": s.log(o)}}
	return &config, nil
}

// onLoopback replaces every listener of the HTTP app: a Caddyfile's site of
// localhost listens on all interfaces.
func (s *site) onLoopback(raw []byte) ([]byte, error) {
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	apps, _ := config["apps"].(map[string]any)
	web, _ := apps["http"].(map[string]any)
	servers, _ := web["servers"].(map[string]any)
	if len(servers) != 1 {
		return nil, fmt.Errorf("examples/quickstart/Caddyfile: %d servers, want 1", len(servers))
	}
	for _, server := range servers {
		m, _ := server.(map[string]any)
		m["listen"] = s.listeners()
	}
	return json.Marshal(config)
}

// listeners are both loopback addresses, since "localhost" may be either.
func (s *site) listeners() []string {
	port := strconv.Itoa(s.port)
	out := []string{net.JoinHostPort("127.0.0.1", port)}
	if l, err := net.Listen("tcp", net.JoinHostPort("::1", port)); err == nil {
		_ = l.Close()
		out = append(out, net.JoinHostPort("::1", port))
	}
	return out
}

func (s *site) logFile() string { return filepath.Join(s.dir, "gateway.log") }

func (s *site) log(o Options) *caddy.CustomLog {
	writer := map[string]any{"output": "file", "filename": s.logFile()}
	if o.Verbose {
		writer = map[string]any{"output": "stderr"}
	}
	raw, err := json.Marshal(writer)
	if err != nil {
		panic(err) // strings in a map always encode
	}
	return &caddy.CustomLog{BaseLog: caddy.BaseLog{WriterRaw: raw, Level: "INFO"}}
}
