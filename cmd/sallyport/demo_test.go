package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the command itself: Caddy's state is global,
// so every run of the demo has a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("SALLYPORT_TEST_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command is this binary as `sallyport args…` with a temporary folder of its own.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	tmp = t.TempDir()
	cmd = exec.CommandContext(ctx, self, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, "SALLYPORT_TEST_COMMAND=1"}
	return cmd, tmp
}

func TestDemoCheck(t *testing.T) {
	t.Parallel()
	cmd, tmp := command(t, "demo", "--check")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sallyport demo --check: %v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("\nok ")) + 1; n < 12 || bytes.Contains(out, []byte("FAIL")) {
		t.Errorf("%d steps went well, want 12:\n%s", n, out)
	}
	leftBehind(t, tmp)
}

func leftBehind(t *testing.T, tmp string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestDemoEndsOnInterrupt starts the demo as a person does and presses Ctrl-C.
func TestDemoEndsOnInterrupt(t *testing.T) {
	t.Parallel()
	cmd, tmp := command(t, "demo")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		seen.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Open http://localhost:") {
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after Ctrl-C: %v\n%s%s", err, &seen, &stderr)
	}
	for _, want := range []string{"provider company oidc", "alice", "password wonderland", "bob", "The demo is over"} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("%q was not printed:\n%s", want, &seen)
		}
	}
	leftBehind(t, tmp)
}

func TestDemoRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"demo", "stray"}, {"demo", "--port", "x"}, {"demo", "--port", "70000"}} {
		cmd, _ := command(t, args...)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("sallyport %s succeeded:\n%s", strings.Join(args, " "), out)
		}
	}
}
