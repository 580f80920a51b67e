// Command bench measures what the gateway costs: plain Caddy `reverse_proxy`
// against the same with `protect`, signed in, three headers injected. It starts
// itself as separate processes (an upstream and the two proxies), loads them in
// interleaved paired rounds, and prints a table and JSON.
//
// The upstream insists on three identity headers and answers 1 KiB. Behind plain
// Caddy the load generator sends the three headers itself, so that the upstream
// gets the same from both; in front of the gateway it sends the session cookie
// instead. Both proxies run with the same GOGC. Ratios hold within one run only.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

type options struct {
	rounds      int
	seconds     float64
	connections int
	starts      int
	gogc        string
	dialects    bool
	policy      bool
	json        string
}

func main() {
	if runRole() {
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 15, "paired rounds, each interleaved; the order is swapped from round to round")
	flag.Float64Var(&o.seconds, "seconds", 2, "seconds of load on each side in each round")
	flag.IntVar(&o.connections, "connections", 16, "keep-alive HTTP/1.1 connections")
	flag.IntVar(&o.starts, "starts", 5, "how often each proxy is started to measure start-to-listening")
	flag.StringVar(&o.gogc, "gogc", "400", "GOGC of both proxies")
	flag.BoolVar(&o.dialects, "dialects", true, "a site for every dialect beside the measured one")
	flag.BoolVar(&o.policy, "policy", false, "judge every request by a require line, too")
	flag.StringVar(&o.json, "json", "", "write the JSON to this file instead of after the table")
	flag.Parse()
	if err := bench(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o options) error {
	report, err := measure(o, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	report.table(os.Stdout)
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if o.json != "" {
		return os.WriteFile(o.json, append(text, '\n'), 0o644) //nolint:gosec // a report for everyone
	}
	fmt.Printf("\n%s\n", text)
	return nil
}

// measure starts everything, signs in, and runs the rounds.
func measure(o options, say func(string, ...any)) (*report, error) {
	dir, err := os.MkdirTemp("", "sallyport-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	up, err := startUpstream(dir)
	if err != nil {
		return nil, err
	}
	defer up.stop()
	r := newReport(o)
	sides := map[string]*side{}
	for _, name := range []string{"plain", "protect"} {
		s, err := startSide(name, dir, up.address, o)
		if err != nil {
			return nil, err
		}
		defer s.stop()
		sides[name] = s
		r.Start[name] = median(s.starts)
	}
	plain, protect := sides["plain"], sides["protect"]
	plain.request = getRequest(plain.address, "X-User: alice\r\nX-Email: alice@example.test\r\nX-Groups: admins,staff\r\n")
	cookie, err := signIn("http://" + protect.address)
	if err != nil {
		return nil, err
	}
	r.CookieBytes = len(cookie)
	protect.request = getRequest(protect.address, "Cookie: "+cookie+"\r\n")
	for _, s := range []*side{plain, protect} { // warm up
		if _, err := s.load(o.connections, time.Second); err != nil {
			return nil, err
		}
	}
	for i := range o.rounds {
		p, q, err := round(o, plain, protect, i%2 == 1)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", i+1, err)
		}
		r.add(p, q)
		say("round %2d: plain %6.0f/s %5.1f µs CPU   protect %6.0f/s %5.1f µs CPU", i+1, p.PerSecond, p.CPU, q.PerSecond, q.CPU)
	}
	r.finish()
	return r, nil
}

// sliceLength: a round is cut into slices in the order a b b a a b b a …, so
// that what else the machine does meanwhile falls on both sides alike.
const sliceLength = 0.125

func round(o options, plain, protect *side, swapped bool) (p, q sample, err error) {
	var runs [2]run
	sides := [2]*side{plain, protect}
	pairs := max(1, int(o.seconds/sliceLength))
	d := time.Duration(o.seconds / float64(pairs) * float64(time.Second))
	for i := range 2 * pairs {
		which := (i + 1) / 2 % 2
		if swapped {
			which = 1 - which
		}
		got, err := sides[which].load(o.connections, d)
		if err != nil {
			return p, q, err
		}
		runs[which].add(got)
	}
	if p, err = runs[0].sample(); err != nil {
		return p, q, err
	}
	q, err = runs[1].sample()
	return p, q, err
}
