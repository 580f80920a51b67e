package main

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be the children of a bench, too.
func TestMain(m *testing.M) {
	if runRole() {
		return
	}
	os.Exit(m.Run())
}

func TestBootstrapHoldsTheTruth(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		x    []float64
		want float64
	}{
		{"no spread", []float64{2, 2, 2, 2}, 2},
		{"spread", []float64{0.9, 1.1, 1.0, 0.8, 1.2}, 1.0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := bootstrap(tc.x)
			if math.Abs(got.Estimate-tc.want) > 1e-9 || got.Low > tc.want+1e-9 || got.High < tc.want-1e-9 {
				t.Fatalf("bootstrap(%v) = %+v, want %v inside", tc.x, got, tc.want)
			}
		})
	}
	if got := bootstrap([]float64{0.9, 1.1, 1.0, 0.8, 1.2}); got.Low >= got.Estimate || got.High <= got.Estimate {
		t.Fatalf("an interval without width: %+v", got)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("odd: %v", got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("even: %v", got)
	}
}

// TestBenchRuns runs one very short round of the real thing.
func TestBenchRuns(t *testing.T) {
	r, err := measure(options{dialects: true, rounds: 2, seconds: 0.2, connections: 4, starts: 1, gogc: "400"}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if r.CookieBytes == 0 || r.CookieBytes >= 300 {
		t.Errorf("cookie of %d bytes, want 1 to 299 (B03)", r.CookieBytes)
	}
	for _, s := range append(r.Plain, r.Protect...) {
		if s.Requests == 0 || s.CPU <= 0 || s.P99 < s.P50 {
			t.Errorf("sample %+v", s)
		}
	}
	var out bytes.Buffer
	r.table(&out)
	if !strings.Contains(out.String(), "protect ÷ plain") {
		t.Errorf("table:\n%s", out.String())
	}
}
