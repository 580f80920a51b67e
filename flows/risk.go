package flows

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Risk is what the risk steps of a run made of its readings.
type Risk struct {
	// Run is the run that read it: the next one begins anew.
	Run string `json:"run,omitempty"`
	// Score and Level are what conditions see: 0 and low as long as all steps only look on.
	Score int    `json:"score"`
	Level string `json:"level"`
	// Observed is the score with what was only looked at; the same where nothing was.
	Observed int `json:"observed"`
	// Formula is that of the step which counted last.
	Formula Formula `json:"formula,omitzero"`
	// At is when it was read, IP and Device for whom.
	At     time.Time `json:"at,omitzero"`
	IP     string    `json:"ip,omitempty"`
	Device string    `json:"device,omitempty"`
	// Bare says that the run was over a session, and its browser showed nothing by which
	// it is known again: then the session alone stands for it, until it shows Device.
	Bare bool `json:"bare,omitempty"`
}

// The levels of risk.
const (
	RiskLow    = "low"
	RiskMedium = "medium"
	RiskHigh   = "high"
)

// Low reports whether there is nothing to be careful about: nothing was read, or the
// level is low (I24).
func (r *Risk) Low() bool { return r == nil || r.Level == RiskLow }

// Above reports whether the level is a higher one than that of another reading.
func (r *Risk) Above(o *Risk) bool { return rank(r) > rank(o) }

func rank(r *Risk) int {
	if r == nil {
		return 0
	}
	return slices.Index([]string{RiskLow, RiskMedium, RiskHigh}, r.Level)
}

// Formula says how readings become a score and a level.
type Formula struct {
	// Medium and High are the scores from which the level is so; zero: 30 and 70.
	Medium int `json:"medium,omitempty"`
	High   int `json:"high,omitempty"`
	// LogOdds weighs readings as evidence instead of summing them up.
	LogOdds bool `json:"log_odds,omitempty"`
}

// Valid reports bands that make no sense.
func (f Formula) Valid() error {
	if m, h := f.bands(); m < 1 || h <= m || h > 100 {
		return fmt.Errorf("bands are two scores, the first from 1, the second above it and at most 100; not %d %d", m, h)
	}
	return nil
}

func (f Formula) bands() (medium, high int) { return cmp.Or(f.Medium, 30), cmp.Or(f.High, 70) }

// Level is the band that a score falls into.
func (f Formula) Level(score int) string {
	medium, high := f.bands()
	switch {
	case score < medium:
		return RiskLow
	case score < high:
		return RiskMedium
	}
	return RiskHigh
}

// prior is the score of log odds where the readings say nothing.
const prior = 0.10

// Contribution is what one reading adds: points of the score, or log odds.
func (f Formula) Contribution(r Reading) float64 {
	if !f.LogOdds {
		return float64(r.Weight*r.Score) / 100
	}
	p := min(max(float64(r.Score)/100, 0.01), 0.99)
	return math.Round(float64(r.Weight)*logit(p)) / 100
}

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// Score is that of all readings that pass: the sum of weight × score / 100, at most
// 100; or 100 / (1 + e^-(ln(0.1/0.9) + Σ weight/100 × ln(p/(1-p)))), where p is
// score/100 from 0.01 to 0.99. It does not depend on their order.
func (f Formula) Score(readings map[string]Reading, counts func(Reading) bool) int {
	sum, odds := 0, logit(prior)
	for _, name := range slices.Sorted(maps.Keys(readings)) {
		if r := readings[name]; counts(r) {
			sum, odds = sum+r.Weight*r.Score, odds+f.Contribution(r)
		}
	}
	if f.LogOdds {
		return int(math.Round(100 / (1 + math.Exp(-odds))))
	}
	return min((sum+50)/100, 100)
}

// Assessed is what a formula makes of readings. now, ip and device are filled in by
// who asks.
func (f Formula) Assessed(readings map[string]Reading) *Risk {
	counted := func(r Reading) bool { return !r.Observed }
	risk := &Risk{Formula: f, Level: RiskLow}
	risk.Observed = f.Score(readings, func(Reading) bool { return true })
	for _, r := range readings {
		if counted(r) { // else nothing counts, whatever the formula makes of nothing
			risk.Score = f.Score(readings, counted)
			risk.Level = f.Level(risk.Score)
			break
		}
	}
	return risk
}

// Reasons are those of the readings that count, each once.
func Reasons(readings map[string]Reading) []string {
	out := []string{}
	for _, r := range readings {
		if r.Reason != "" && !r.Observed {
			out = append(out, string(r.Reason))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// MaxWeight is the greatest weight of a signal.
const MaxWeight = 100

// ErrLate says that a signal took longer than it may.
var ErrLate = errors.New("it took too long")
