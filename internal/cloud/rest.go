package cloud

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// How long a place rests that could not be reached or was out of order.
const (
	firstRest   = time.Second
	longestRest = 30 * time.Second
)

// Rest says whether a place is tried last for a while because it has failed. The zero value is not resting. It is safe
// for concurrent use.
type Rest struct {
	failures atomic.Int64 // in a row
	until    atomic.Int64 // Unix time in nanoseconds
}

// Ill records a failure. The rest doubles with each failure in a row.
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

// Resting reports whether the place is tried last.
func (r *Rest) Resting() bool {
	until := r.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}
