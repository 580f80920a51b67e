package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"text/tabwriter"
)

// report is what a run found.
type report struct {
	GoVersion   string  `json:"go"`
	CPUs        int     `json:"cpus"`
	Rounds      int     `json:"rounds"`
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
	GOGC        string  `json:"gogc"`
	// Start is start-to-listening in milliseconds, the median of several starts.
	Start map[string]float64 `json:"start_to_listening_ms"`
	// CookieBytes is the length of the Cookie header's value that the gateway wants.
	CookieBytes int `json:"cookie_bytes"`

	Plain   []sample `json:"plain"`
	Protect []sample `json:"protect"`

	// Ratio is requests/s of protect over those of plain Caddy, round by round.
	Ratio interval `json:"requests_ratio"`
	// CPURatio is the same for CPU, CPUAbove the difference in µs per request.
	CPURatio interval `json:"cpu_ratio"`
	CPUAbove interval `json:"cpu_us_above_plain"`
}

// interval is an estimate with its 95 % interval by paired bootstrap.
type interval struct {
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

func newReport(o options) *report {
	return &report{
		GoVersion: runtime.Version(), CPUs: runtime.NumCPU(), Rounds: o.rounds, Seconds: o.seconds,
		Connections: o.connections, GOGC: o.gogc, Start: map[string]float64{},
	}
}

func (r *report) add(plain, protect sample) {
	r.Plain, r.Protect = append(r.Plain, plain), append(r.Protect, protect)
}

func (r *report) finish() {
	var ratio, cpu, above []float64
	for i := range r.Plain {
		ratio = append(ratio, math.Log(r.Protect[i].PerSecond/r.Plain[i].PerSecond))
		cpu = append(cpu, math.Log(r.Protect[i].CPU/r.Plain[i].CPU))
		above = append(above, r.Protect[i].CPU-r.Plain[i].CPU)
	}
	r.Ratio, r.CPURatio, r.CPUAbove = bootstrap(ratio).exp(), bootstrap(cpu).exp(), bootstrap(above)
}

const resamples = 10000

// bootstrap draws the rounds again with replacement; the means of the draws
// are the interval. The seed is fixed: one run, one answer.
func bootstrap(x []float64) interval {
	if len(x) == 0 {
		return interval{}
	}
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // statistics, no secret
	means := make([]float64, resamples)
	for i := range means {
		sum := 0.0
		for range x {
			sum += x[rng.IntN(len(x))]
		}
		means[i] = sum / float64(len(x))
	}
	slices.Sort(means)
	return interval{mean(x), means[resamples*25/1000], means[resamples*975/1000]}
}

// exp turns an interval of logarithms into one of ratios.
func (i interval) exp() interval {
	return interval{math.Exp(i.Estimate), math.Exp(i.Low), math.Exp(i.High)}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func of(samples []sample, field func(sample) float64) float64 {
	var x []float64
	for _, s := range samples {
		x = append(x, field(s))
	}
	return median(x)
}

func (r *report) table(w io.Writer) {
	fmt.Fprintf(w, "%d rounds of 2 × %g s, %d connections, HTTP/1.1, GOGC=%s, %s, %d CPUs\n", r.Rounds, r.Seconds, r.Connections, r.GOGC, r.GoVersion, r.CPUs)
	fmt.Fprintf(w, "(plain: the client sends the three headers itself, since the upstream insists on them)\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "median of rounds\trequests/s\tp50 ms\tp99 ms\tCPU µs/request\tstart ms\tcookie bytes\t")
	row := func(name string, s []sample, cookie int) {
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t%.1f\t%.0f\t%d\t\n", name,
			of(s, func(s sample) float64 { return s.PerSecond }), of(s, func(s sample) float64 { return s.P50 }),
			of(s, func(s sample) float64 { return s.P99 }), of(s, func(s sample) float64 { return s.CPU }), r.Start[name], cookie)
	}
	row("plain", r.Plain, 0)
	row("protect", r.Protect, r.CookieBytes)
	_ = t.Flush()
	fmt.Fprintf(w, "\nrequests/s, protect ÷ plain:      %.3f   95 %% interval %.3f to %.3f\n", r.Ratio.Estimate, r.Ratio.Low, r.Ratio.High)
	fmt.Fprintf(w, "CPU/request, protect ÷ plain:     %.3f   95 %% interval %.3f to %.3f\n", r.CPURatio.Estimate, r.CPURatio.Low, r.CPURatio.High)
	fmt.Fprintf(w, "CPU/request, protect − plain, µs: %+.1f   95 %% interval %+.1f to %+.1f\n", r.CPUAbove.Estimate, r.CPUAbove.Low, r.CPUAbove.High)
}
