package module

import (
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	descSessions = prometheus.NewDesc("sallyport_sessions_active", "Sessions that this node keeps ready; those used on other nodes only, or not since a restart, are not among them.", nil, nil)
	descUp       = prometheus.NewDesc("sallyport_provider_up", "1 if the health checks of the provider say so, or where there are none if the newest exchange went well; 0 if not.", []string{"provider"}, nil)
	descHeld     = prometheus.NewDesc("sallyport_held_bytes", "Bytes that this node keeps of forms whose people are signing in; it takes 67108864 at most.", nil, nil)
	descEnding   = prometheus.NewDesc("sallyport_sessions_ending", "Sessions that ended on this node while the store could not be asked, and are still to be ended there.", nil, nil)
)

// nodeState are the gauges. It asks the running app, not the one it was made
// with: after a refused reload Caddy's admin endpoint shows the registry of a
// config that never ran.
type nodeState struct{}

// Describe implements prometheus.Collector.
func (nodeState) Describe(to chan<- *prometheus.Desc) {
	to <- descSessions
	to <- descUp
	to <- descEnding
	to <- descHeld
}

// Collect implements prometheus.Collector.
func (nodeState) Collect(to chan<- prometheus.Metric) {
	a, err := running()
	if err != nil {
		return
	}
	to <- prometheus.MustNewConstMetric(descSessions, prometheus.GaugeValue, float64(a.shared.cache.Living(Now())))
	to <- prometheus.MustNewConstMetric(descEnding, prometheus.GaugeValue, float64(a.shared.countEnding()))
	to <- prometheus.MustNewConstMetric(descHeld, prometheus.GaugeValue, float64(a.shared.held.Bytes()))
	for _, p := range a.providers {
		healthy, err := a.healthOf(p)
		if !healthy {
			continue
		}
		up := 1.0
		if err != nil {
			up = 0
		}
		to <- prometheus.MustNewConstMetric(descUp, prometheus.GaugeValue, up, p.Name)
	}
}

// running is the identity app of the config that runs now.
func running() (*App, error) {
	v, err := caddy.ActiveContext().AppIfConfigured("identity")
	if err != nil {
		return nil, errors.New("no identity app is running")
	}
	a, ok := v.(*App)
	if !ok {
		return nil, errors.New("the identity app is another module")
	}
	return a, nil
}
