package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// GatewayProcess is `sallyport run` as a process of its own with its own data
// and config folders, so that it can be reloaded, restarted and killed.
type GatewayProcess struct {
	// URL is http://127.0.0.1:PORT, without a slash at the end.
	URL string
	// Port is what {$PORT} says in the Caddyfile.
	Port int
	// Admin is the address of the admin endpoint, host:port.
	Admin string
	// Dir holds the Caddyfile, data/ and config/.
	Dir string

	*Process
	env    []string
	binary string
}

// Gateway builds cmd/sallyport once and runs it with this Caddyfile, in which
// {$PORT} is a free port and {$SITE} is http://127.0.0.1:{$PORT}, which should
// be the site; env are further NAME=value pairs. The admin endpoint comes from the environment: the
// Caddyfile must not name one. It returns when the port answers.
func Gateway(t testing.TB, caddyfile string, env ...string) *GatewayProcess {
	t.Helper()
	return GatewayAt(t, Port(t), caddyfile, env...)
}

// GatewayAt is Gateway on a port that the caller chose by [Port], for parts
// that must know the gateway's address before it runs.
func GatewayAt(t testing.TB, port int, caddyfile string, env ...string) *GatewayProcess {
	t.Helper()
	g := &GatewayProcess{
		URL: "http://" + Addr(port), Port: port, Admin: Addr(Port(t)),
		Dir: t.TempDir(), binary: Binary(t),
	}
	g.env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + g.Dir,
		"XDG_DATA_HOME=" + filepath.Join(g.Dir, "data"),
		"XDG_CONFIG_HOME=" + filepath.Join(g.Dir, "config"),
		"CADDY_ADMIN=" + g.Admin,
		fmt.Sprintf("PORT=%d", port),
		"SITE=" + g.URL,
	}, env...)
	g.write(t, caddyfile)
	g.Process = Start(t, "sallyport", g.command())
	g.AwaitTCP(Addr(port), 30*time.Second)
	return g
}

func (g *GatewayProcess) write(t testing.TB, caddyfile string) {
	t.Helper()
	if err := os.WriteFile(g.file(), []byte(onLoopback(caddyfile)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// onLoopback adds `default_bind 127.0.0.1` at the end of the global options,
// since a site of 127.0.0.1 listens on all interfaces; lines before it keep
// their numbers.
func onLoopback(caddyfile string) string {
	const line = "\tdefault_bind 127.0.0.1\n"
	if strings.Contains(caddyfile, "bind ") {
		return caddyfile
	}
	if head, rest, found := strings.Cut(caddyfile, "\n}\n"); found && strings.HasPrefix(caddyfile, "{\n") {
		return head + "\n" + line + "}\n" + rest
	}
	return "{\n" + line + "}\n" + caddyfile
}

func (g *GatewayProcess) file() string { return filepath.Join(g.Dir, "Caddyfile") }

func (g *GatewayProcess) command() *exec.Cmd {
	cmd := exec.Command(g.binary, "run", "--config", g.file(), "--adapter", "caddyfile")
	cmd.Env, cmd.Dir = g.env, g.Dir
	return cmd
}

// Start starts the gateway again after Stop or Kill9, with the Caddyfile as it
// is now, and waits until it answers.
func (g *GatewayProcess) Start() {
	g.t.Helper()
	g.run(g.command())
	g.AwaitTCP(Addr(g.Port), 30*time.Second)
}

// Restart stops the gateway in good order and starts it again.
func (g *GatewayProcess) Restart() {
	g.t.Helper()
	g.Stop()
	g.Start()
}

// Kill9 ends the gateway without giving it a chance to write anything.
func (g *GatewayProcess) Kill9() { g.Kill() }

// Reload loads another Caddyfile through the admin endpoint, also when it is
// the same text; the error is what the gateway answered.
func (g *GatewayProcess) Reload(caddyfile string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Admin+"/load", strings.NewReader(onLoopback(caddyfile)))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "text/caddyfile")
	q.Header.Set("Cache-Control", "must-revalidate")
	res, err := client.Do(q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("reload: %d %s", res.StatusCode, text)
	}
	return os.WriteFile(g.file(), []byte(onLoopback(caddyfile)), 0o600)
}

// Logs is everything the gateway has written, over all of its starts.
func (g *GatewayProcess) Logs() string { return g.Output() }

// AwaitLog waits until the log holds text: the trail notes denials beside the request.
func (g *GatewayProcess) AwaitLog(t testing.TB, text string) {
	t.Helper()
	Await(t, "log holds "+text, 5*time.Second, func() error {
		if strings.Contains(g.Logs(), text) {
			return nil
		}
		return errors.New("it does not")
	})
}

var build struct {
	sync.Once
	path string
	err  error
}

// Binary builds cmd/sallyport once, or uses the one that SALLYPORT_BIN names.
func Binary(t testing.TB) string {
	t.Helper()
	build.Do(func() { build.path, build.err = compile() })
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// compile writes into the cache folder under a lock, since the test binaries of
// several packages run at once; the linker leaves an up-to-date file alone.
func compile() (string, error) {
	if path := os.Getenv("SALLYPORT_BIN"); path != "" {
		return filepath.Abs(path)
	}
	dir := filepath.Join(Cache(), "bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sallyport")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/sallyport")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/sallyport: %w\n%s", err, out)
	}
	return path, nil
}
