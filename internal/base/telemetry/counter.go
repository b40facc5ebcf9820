package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter is one that a filter has for its route. A nil *Counter counts nothing.
type Counter struct {
	desc  *prometheus.Desc
	count atomic.Uint64
}

// Inc adds one.
func (c *Counter) Inc() {
	if c != nil {
		c.count.Add(1)
	}
}

// Counter gives the counter of that name and this route, which lives as long as
// the route. name is a whole one, as weir_cors_refused_total; help must be the same on
// every route.
func (r *Route) Counter(name, help string) *Counter {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counters[name]
	if c == nil {
		c = &Counter{desc: describe(name, help, "route")}
		r.counters[name] = c
	}
	return c
}
