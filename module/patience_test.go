package module

import "time"

// SetBodyPatience shortens how long a body of the gateway's own addresses may
// take, for tests.
func SetBodyPatience(d time.Duration) (restore func()) {
	was := bodyPatience.Swap(int64(d))
	return func() { bodyPatience.Store(was) }
}
