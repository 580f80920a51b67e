package flows

// RiskScore sums what the signals contributed, at most 100; unknown counts as the
// risk step that made the reading weighted it.
func RiskScore(readings map[string]Reading) int {
	score := 0
	for _, r := range readings {
		score += max(r.Score, 0)
	}
	return min(score, 100)
}

// The levels of risk.
const (
	RiskLow    = "low"
	RiskMedium = "medium"
	RiskHigh   = "high"
)

// RiskLevel is the band that a score falls into.
func RiskLevel(score int) string {
	switch {
	case score < 30:
		return RiskLow
	case score < 70:
		return RiskMedium
	}
	return RiskHigh
}
