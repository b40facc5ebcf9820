package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Checks counts the checks of endpoints, of all services together. It is safe for concurrent use; a nil *Checks counts
// nothing.
type Checks struct{ good, bad, late atomic.Uint64 }

// Checks returns the meter of all checks.
func (m *Metrics) Checks() *Checks {
	if m == nil {
		return nil
	}
	return &m.checks
}

// Answered counts an answer.
func (c *Checks) Answered(good bool) {
	switch {
	case c == nil:
	case good:
		c.good.Add(1)
	default:
		c.bad.Add(1)
	}
}

// Late counts a check that was made a second or more after it was due.
func (c *Checks) Late() {
	if c != nil {
		c.late.Add(1)
	}
}

type checkDescs struct{ checks, late *prometheus.Desc }

func newCheckDescs() checkDescs {
	return checkDescs{
		checks: describe("weir_health_checks_total", "Checks of endpoints, by their answer.", "result"),
		late:   describe("weir_health_checks_late_total", "Checks that came a second or more after their time, because too many were under way."),
	}
}

// collect sends nothing while there are no checks.
func (c *Checks) collect(d *checkDescs, out chan<- prometheus.Metric) {
	good, bad := c.good.Load(), c.bad.Load()
	if good+bad == 0 {
		return
	}
	out <- counter(d.checks, good, "good")
	out <- counter(d.checks, bad, "bad")
	out <- counter(d.late, c.late.Load())
}
