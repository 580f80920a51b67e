package module

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// TestHealthHysteresis: f is a check that failed, p one that passed; the verdict is
// read behind each.
func TestHealthHysteresis(t *testing.T) {
	rule := flows.HealthRule{Fails: 3, Passes: 2}
	for checks, want := range map[string]string{
		"ppp":           "uuu",
		"fff":           "uud",
		"ffpff":         "uuuuu",
		"ffpfff":        "uuuuud",
		"fffp":          "uudd",
		"fffpp":         "uuddu",
		"fffpfp":        "uudddd",
		"fffpfpp":       "uuddddu",
		"fffppff":       "uudduuu",
		"fffppfffppfff": "uudduuudduuud",
	} {
		j, got := new(judged), ""
		for i, c := range checks {
			var err error
			if c == 'f' {
				err = errors.New("no answer")
			}
			if j.take(err, rule, time.Unix(int64(i), 0)) {
				if _, since, checked, _ := j.state(); !since.Equal(time.Unix(int64(i), 0)) || !checked.Equal(since) {
					t.Errorf("%s: changed at %v, checked %v", checks, since, checked)
				}
			}
			if j.isDown() {
				got += "d"
			} else {
				got += "u"
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", checks, got, want)
		}
	}
	for range 100 {
		if d := jittered(10 * time.Second); d < 9*time.Second || d > 11*time.Second {
			t.Fatalf("jittered to %s", d)
		}
	}
}
