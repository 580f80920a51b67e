package flows

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// HealthRule says how the hall's own checks judge a provider.
type HealthRule struct {
	Interval, Timeout time.Duration
	// Fails in a row take it down, Passes in a row bring it back.
	Fails, Passes int
}

// HealthRule is what the options say, with the defaults; an error refuses what cannot be meant.
func (o *ProviderOptions) HealthRule() (HealthRule, error) {
	if o.HealthInterval < 0 || o.HealthTimeout < 0 || o.HealthFails < 0 || o.HealthPasses < 0 {
		return HealthRule{}, errors.New("health_interval, health_timeout, health_fails and health_passes must be positive")
	}
	return HealthRule{
		Interval: cmp.Or(time.Duration(o.HealthInterval), 10*time.Second),
		Timeout:  cmp.Or(time.Duration(o.HealthTimeout), 5*time.Second),
		Fails:    cmp.Or(o.HealthFails, 3),
		Passes:   cmp.Or(o.HealthPasses, 2),
	}, nil
}

// Drill is an outage of one provider that an operator made up, for one test user.
type Drill struct {
	// ID names it in the trail and in the admin API.
	ID string `json:"id"`
	// Provider is the one that counts as down in the run.
	Provider string `json:"provider"`
	// User is the user.name that the run must end as.
	User string `json:"user"`
}

// FellBack reports whether any of this evidence is a fallback's: what came later
// stands on it. It lowers assurance, and raises no rights (I23): nothing is
// enrolled, remembered or changed on an account that such a login stands for.
func FellBack(evidence []Evidence) bool {
	return slices.ContainsFunc(evidence, func(e Evidence) bool { return e.Kind == Fallback })
}
