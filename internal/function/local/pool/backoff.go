package pool

import (
	"time"

	doubling "github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// backoff keeps a function that cannot be started from being started over and over. It belongs to the serving version,
// and begins anew with the next one.
type backoff struct {
	failures int // in a row, without any request served
	until    time.Time
	reason   error
}

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 30 * time.Second
	// freeCrashes is how many instances may end by themselves in a row before it counts as more than the fault of
	// single requests.
	freeCrashes = 3
)

// failed records that an instance could not be started.
func (b *backoff) failed(now time.Time, reason error) {
	b.failures++
	b.reason = reason
	b.pause(now, b.failures)
}

// crashed records that an instance ended by itself before it had served anything.
func (b *backoff) crashed(now time.Time, reason error) {
	b.failures++
	b.reason = reason
	if b.failures > freeCrashes {
		b.pause(now, b.failures-freeCrashes)
	}
}

func (b *backoff) pause(now time.Time, nth int) {
	b.until = now.Add(doubling.Doubling{First: firstPause, Most: longestPause}.After(nth))
}

// succeeded resets the backoff.
func (b *backoff) succeeded() { *b = backoff{} }

func (b *backoff) active(now time.Time) bool { return now.Before(b.until) }

// fault is the answer to requests during the pause.
func (b *backoff) fault(now time.Time) *fault.Fault {
	f := *fault.From(b.reason) // a copy, because faults are shared and immutable
	if f.Code != fault.FunctionInit.Code {
		f = *fault.FunctionInit.New("", fault.Cause(b.reason))
	}
	f.RetryAfter = max(b.until.Sub(now), time.Millisecond)
	return &f
}
