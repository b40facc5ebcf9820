package telemetry

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter is a counter that a filter has for its route. A nil *Counter counts nothing.
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

// Counter returns the counter of that name for this route, which lives as long as the route. name is a complete metric
// name, such as weir_cors_refused_total. help must be the same on every route, and so must the names of further labels,
// which are given as name, value, name, value. These labels must have few values.
func (r *Route) Counter(name, help string, labels ...string) *Counter {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.Join(append([]string{name}, labels...), " ")
	c := r.counters[key]
	if c == nil {
		further := prometheus.Labels{}
		for pair := range slices.Chunk(labels, 2) {
			further[pair[0]] = pair[1]
		}
		c = &Counter{desc: prometheus.NewDesc(name, help, []string{"route"}, further)}
		r.counters[key] = c
	}
	return c
}
