package parts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Process is a child with all of its own children: they are one process group
// and end together, since workers of PHP and Tomcat outlive a signal to the
// parent and keep the port.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// Start starts cmd in the background; it is ended with the test. When the test
// fails, the last lines of its output are logged.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, name: name, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, tail(p.Output(), 60))
		}
	})
	p.run(cmd)
	return p
}

func (p *Process) run(cmd *exec.Cmd) {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr, cmd.Stdin = out, out, nil
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("starting %s: %v", p.name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func(done chan struct{}) { _ = cmd.Wait(); close(done) }(p.done)
}

// Pid is the process id of the group's leader.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop ends the group with SIGTERM and, after 10 s, with SIGKILL. It may be
// called again, and answers the exit code, -1 when a signal ended it.
func (p *Process) Stop() int {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.t.Logf("%s did not end in 10 s after SIGTERM", p.name)
	}
	return p.Kill()
}

// Interrupt sends SIGINT to the group, as Ctrl-C does, and answers the exit
// code; it fails the test if the leader lives on for 10 s.
func (p *Process) Interrupt() int {
	p.signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.t.Errorf("%s did not end in 10 s after SIGINT", p.name)
	}
	return p.Kill()
}

// Kill ends the group at once (kill -9) and waits for the leader.
func (p *Process) Kill() int {
	p.signal(syscall.SIGKILL)
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

func (p *Process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.Pid(), s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Logf("signal %v to %s: %v", s, p.name, err)
	}
}

// stopped waits until a process runs nowhere any more: SIGSTOP reaches a thread when
// it is scheduled next, and until then it may answer once more.
func (p *Process) stopped(pid int) {
	p.await(fmt.Sprintf("standstill of %d", pid), 10*time.Second, func() error {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range stats {
			text, _ := os.ReadFile(name) // a thread may have ended
			if _, state, ok := strings.Cut(string(text), ") "); ok && !strings.ContainsAny(state[:1], "TtZX") {
				return errors.New(strings.TrimSpace(string(text)))
			}
		}
		return err
	})
}

// ended answers an error once the leader is gone: waiting longer is useless.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Output is everything that the process wrote until now.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	return string(b)
}

// AwaitTCP waits until address accepts connections, at most limit and only as
// long as the process lives.
func (p *Process) AwaitTCP(address string, limit time.Duration) {
	p.t.Helper()
	p.await(address, limit, func() error { return answers(address) })
}

// AwaitHTTP waits until url answers below 500.
func (p *Process) AwaitHTTP(url string, limit time.Duration) {
	p.t.Helper()
	p.await(url, limit, func() error { return speaks(url) })
}

func (p *Process) await(what string, limit time.Duration, check func() error) {
	p.t.Helper()
	gone := false
	err := poll(limit, func() error {
		if gone = p.ended(); gone {
			return nil
		}
		return check()
	})
	if gone {
		p.t.Fatalf("%s ended before %s answered:\n%s", p.name, what, tail(p.Output(), 60))
	}
	if err != nil {
		p.t.Fatalf("%s: %s does not answer after %s: %v\n%s", p.name, what, limit, err, tail(p.Output(), 60))
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
