package file

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sallyport-gateway/sallyport/flows/flowstest"
)

// childPath makes the test binary a process that writes to a store until it is
// killed; validatePath one that does what `validate` does.
const (
	childPath    = "SALLYPORT_TEST_STORE"
	validatePath = "SALLYPORT_TEST_VALIDATE"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childPath); path != "" {
		child(path)
		return
	}
	if path := os.Getenv(validatePath); path != "" {
		s := &Store{Path: path}
		if err := errors.Join(s.Provision(caddy.Context{}), s.Validate(), s.Cleanup()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child writes until it is killed and says which writes were acknowledged.
func child(path string) {
	s := &Store{Path: path}
	s.path, s.db = path, newHandle(path)
	s.SetClock(flowstest.NewClock().Now)
	lines := make(chan string)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("w%d-%d", w, i)
				if err := s.Create(bg, key, []byte("v"+key), time.Hour, "i", "w"+fmt.Sprint(w)); err != nil {
					lines <- "error: " + err.Error()
					return
				}
				lines <- key
			}
		}()
	}
	for l := range lines {
		if _, err := fmt.Fprintln(os.Stdout, l); err != nil {
			return
		}
	}
}

func TestB18FileStoreSurvivesKill9(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	for round := range 3 {
		acknowledged := killed(t, path, 200)
		s := open(t, path, flowstest.NewClock())
		for _, key := range acknowledged {
			want(t, s, key)
		}
		listed, err := s.Members(bg, "i", "", 1<<20)
		if err != nil || len(listed) < len(acknowledged) {
			t.Errorf("round %d: %d listed of %d acknowledged, %v", round, len(listed), len(acknowledged), err)
		}
		closeStore(t, s)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs the child, kills it in mid-stream behind n acknowledged writes
// and answers all it acknowledged.
func killed(t *testing.T, path string, n int) (keys []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	for scan.Scan() {
		if strings.HasPrefix(scan.Text(), "error:") {
			t.Fatal(scan.Text())
		}
		if keys = append(keys, scan.Text()); len(keys) == n {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL: nothing is flushed, nothing deferred
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if len(keys) < n {
		t.Fatalf("the child ended after %d writes", len(keys))
	}
	return keys
}

func TestAnotherProcessHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childPath+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	if !scan.Scan() { // one write: the lock is held
		t.Fatal("the child wrote nothing")
	}
	clock := flowstest.NewClock()
	s := open(t, path, clock)
	go func() { // the child must not stand at a full pipe
		for scan.Scan() {
		}
	}()
	_, err = s.Get(bg, "w0-0")
	wantDown(t, err, path, "another process")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = cmd.Process.Wait()
	clock.Advance(retryAfter)
	create(t, s, "mine")
	want(t, s, "mine")
}

func TestI17ValidateBesideALiveServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	live := open(t, path, flowstest.NewClock())
	create(t, live, "a")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), validatePath+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("validating beside a live server: %v: %s", err, out)
	}
	create(t, live, "b")
	want(t, live, "a")
}
