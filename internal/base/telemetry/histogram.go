package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper bounds of durations: from the time that a gateway itself adds, to a time that a client no longer
// waits for.
func bounds() []time.Duration {
	return []time.Duration{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	}
}

const buckets = 14

// histogram counts durations. The zero value is ready.
type histogram struct {
	counts [buckets + 1]atomic.Uint64 // the last one is for durations above all bounds
	sum    atomic.Int64               // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf searches a table whose size the compiler knows: most requests fall within the first few bounds.
func bucketOf(d time.Duration) int {
	for i := range table { // not over its values, for which the whole table would be copied
		if d <= table[i] {
			return i
		}
	}
	return buckets
}

var table = [buckets]time.Duration(bounds()) // a table

// metric returns what was counted so far.
func (h *histogram) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	cumulative := make(map[float64]uint64, buckets)
	var total uint64
	for i, bound := range table {
		total += h.counts[i].Load()
		cumulative[bound.Seconds()] = total
	}
	total += h.counts[buckets].Load()
	return prometheus.MustNewConstHistogram(desc, total, time.Duration(h.sum.Load()).Seconds(), cumulative, labels...)
}
