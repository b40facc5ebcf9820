package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Discovery measures how soon changes of endpoints that sources report take effect, of all services together. It is
// safe for concurrent use; a nil *Discovery measures nothing.
type Discovery struct{ changes histogram }

// Discovery returns the meter of all sources.
func (m *Metrics) Discovery() *Discovery {
	if m == nil {
		return nil
	}
	return &m.discovery
}

// Changed measures a change, from when its source reported it until requests were routed by it.
func (d *Discovery) Changed(after time.Duration) {
	if d != nil {
		d.changes.observe(after)
	}
}

func newDiscoveryDesc() *prometheus.Desc {
	return describe("weir_discovery_change_duration_seconds", "Time from when a source told of a change of endpoints until requests went by it.")
}

func (d *Discovery) collect(desc *prometheus.Desc, out chan<- prometheus.Metric) {
	out <- d.changes.metric(desc)
}
