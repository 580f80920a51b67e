package flows_test

import (
	"testing"
	"time"

	"github.com/sallyport-gateway/sallyport/flows"
)

// I03: what a run gained proves again who is there, or it does not.
func TestI03StepUpCountsWhatWasProvedInIt(t *testing.T) {
	t.Parallel()
	login := flows.Evidence{Provider: "idp", Method: "oidc"}
	factor := flows.Evidence{Method: "totp"}
	as := func(e flows.Evidence, k flows.EvidenceKind) flows.Evidence { e.Kind = k; return e }
	for _, tc := range []struct {
		name   string
		gained []flows.Evidence
		want   bool
	}{
		{"nothing", nil, false},
		{"a login", []flows.Evidence{login}, true},
		{"a factor", []flows.Evidence{factor}, true},
		{"a fallback", []flows.Evidence{as(login, flows.Fallback)}, false},
		{"a provider's own beginning", []flows.Evidence{as(login, flows.IDPInitiated)}, false},
		{"enrolled just now", []flows.Evidence{as(factor, flows.EnrolledNow)}, false},
		{"a login, and enrolled just now", []flows.Evidence{login, as(factor, flows.EnrolledNow)}, false},
		{"enrolled, and asked once more", []flows.Evidence{as(factor, flows.EnrolledNow), factor}, true},
		{"a login, and trust in a device", []flows.Evidence{login, as(factor, flows.DeviceTrust)}, false},
		{"a fallback and a factor", []flows.Evidence{as(login, flows.Fallback), factor}, true},
	} {
		if got := flows.Proves(tc.gained); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestI03StepUpGainsNothingOfTheSession(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := []flows.Evidence{{Provider: "idp", Method: "oidc", At: at}, {Method: "totp", At: at}}
	x := &flows.Execution{Since: at.Add(time.Minute), Evidence: append(old, flows.Evidence{Provider: "idp", Method: "oidc", At: at})}
	if got := x.Gained(old); len(got) != 0 {
		t.Errorf("an answer with the time of the one before is a gain: %v", got)
	}
	for _, e := range old {
		if x.Honours(&e) {
			t.Errorf("%s of before counts", e.Method)
		}
	}
	x.Evidence = append(x.Evidence, flows.Evidence{Method: "totp", At: x.Since.Add(1)})
	if got := x.Gained(old); len(got) != 1 || !x.Honours(&got[0]) {
		t.Errorf("gained %v", got)
	}
}
