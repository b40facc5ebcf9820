package balance

import (
	"sync/atomic"
	"time"
)

// Tally counts events in the most recent window of time, and how many of them were of one kind. The zero value has
// counted nothing. It is safe for concurrent use; events at the moment when one part of a window follows another may be
// missed. A caller that changes the window must call Clear.
type Tally struct {
	parts [parts]struct {
		at     atomic.Int64  // which part of time is counted here
		counts atomic.Uint64 // all events in the upper half, those of the kind in the lower
	}
}

// parts is how many parts a window is counted in.
const parts = 10

const (
	countBits = 32
	countMask = 1<<countBits - 1
)

// part returns the number of the part of time at a moment; it is never that of the zero value.
func part(now int64, window time.Duration) int64 { return now/max(1, int64(window)/parts) + 1 }

// Add counts events at a time of a pool's clock; all and some are not negative.
func (t *Tally) Add(now int64, window time.Duration, all, some int64) {
	at := part(now, window)
	p := &t.parts[at%parts]
	if before := p.at.Load(); before != at && p.at.CompareAndSwap(before, at) {
		p.counts.Store(0)
	}
	p.counts.Add(uint64(all)<<countBits | uint64(some))
}

// Sums returns the counts of the window.
func (t *Tally) Sums(now int64, window time.Duration) (all, some int64) {
	at := part(now, window)
	for i := range t.parts {
		if p := &t.parts[i]; at-p.at.Load() < parts {
			n := p.counts.Load()
			all += int64(n >> countBits)
			some += int64(n & countMask)
		}
	}
	return all, some
}

// Clear forgets everything.
func (t *Tally) Clear() {
	for i := range t.parts {
		t.parts[i].at.Store(-parts)
	}
}
