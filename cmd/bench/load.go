package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sample is one side of one round.
type sample struct {
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	// CPU is microseconds of the proxy's process for one request.
	CPU float64 `json:"cpu_us_per_request"`
}

// getRequest is written as it stands on every connection: the client must cost
// as little as it can, since it shares the machine with what it measures.
func getRequest(host, headers string) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench\r\nAccept: */*\r\n" + headers + "\r\n")
}

// run is what one stretch of load gave; stretches of one side add up.
type run struct {
	times []time.Duration
	took  time.Duration
	cpu   time.Duration
}

func (r *run) add(o run) {
	r.times = append(r.times, o.times...)
	r.took += o.took
	r.cpu += o.cpu
}

func (r *run) sample() (sample, error) {
	n := len(r.times)
	if n == 0 {
		return sample{}, errors.New("not one answer")
	}
	slices.Sort(r.times)
	ms := func(q float64) float64 { return float64(r.times[int(q*float64(n-1))].Microseconds()) / 1000 }
	return sample{
		Requests: n, PerSecond: float64(n) / r.took.Seconds(), P50: ms(0.5), P99: ms(0.99),
		CPU: float64(r.cpu.Nanoseconds()) / 1000 / float64(n),
	}, nil
}

// load sends requests over n connections, one at a time on each, for this long.
func (s *side) load(n int, d time.Duration) (run, error) {
	if err := s.connect(n); err != nil {
		return run{}, err
	}
	before, err := cpuTime(s.cmd.Process.Pid)
	if err != nil {
		return run{}, err
	}
	begin := time.Now()
	deadline := begin.Add(d)
	times := make([][]time.Duration, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { times[i], errs[i] = s.connections[i].send(s.request, deadline) })
	}
	wg.Wait()
	took := time.Since(begin)
	after, err := cpuTime(s.cmd.Process.Pid)
	if err = errors.Join(append(errs, err)...); err != nil {
		return run{}, fmt.Errorf("%s: %w", s.name, err)
	}
	return run{slices.Concat(times...), took, after - before}, nil
}

// keepAlive is one connection of the load generator; it lives as long as its side.
type keepAlive struct {
	net.Conn
	r *bufio.Reader
}

// connect opens the connections that are still missing.
func (s *side) connect(n int) error {
	for len(s.connections) < n {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			return err
		}
		s.connections = append(s.connections, &keepAlive{conn, bufio.NewReader(conn)})
	}
	return nil
}

func (c *keepAlive) send(request []byte, deadline time.Time) (times []time.Duration, err error) {
	if err := c.SetDeadline(deadline.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	for {
		begin := time.Now()
		if begin.After(deadline) {
			return times, nil
		}
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		if err := answer(c.r); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
}

// answer reads one response, which must be 200 with 1,024 bytes.
func answer(r *bufio.Reader) error {
	status, length := "", -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if status == "" {
			status = string(line)
		} else if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") || length != 1024 {
		return fmt.Errorf("%q with a length of %d instead of 200 with 1024", status, length)
	}
	_, err := io.CopyN(io.Discard, r, int64(length))
	return err
}

// cpuTime sums what all threads of a process have run, from schedstat, whose
// first field is nanoseconds; /proc/PID/stat counts in hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("process %d: no schedstat in /proc", pid)
	}
	var sum int64
	for _, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that just ended
		}
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum), nil
}
