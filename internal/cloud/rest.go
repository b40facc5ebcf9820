package cloud

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// How long a place that could not be reached, or was out of order, rests.
const (
	firstRest   = time.Second
	longestRest = 30 * time.Second
)

// Rest is whether a place is tried last for a while. The zero value is well. It is safe
// for concurrent use.
type Rest struct {
	failures atomic.Int64 // one after the other
	until    atomic.Int64 // in nanoseconds of the Unix time
}

// Ill tells of a failure: the rest doubles with each that follows another.
func (r *Rest) Ill() {
	n := r.failures.Add(1)
	r.until.Store(time.Now().Add(backoff.Doubling{First: firstRest, Most: longestRest}.After(int(n))).UnixNano())
}

// Well ends the rest.
func (r *Rest) Well() {
	if r.failures.Load() != 0 {
		r.failures.Store(0)
		r.until.Store(0)
	}
}

// Resting tells whether it is tried last.
func (r *Rest) Resting() bool {
	until := r.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}
