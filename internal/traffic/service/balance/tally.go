package balance

import (
	"sync/atomic"
	"time"
)

// Tally counts what happened in the latest part of time, the window, and how much of that was
// of one kind. The zero value has counted nothing. It is safe for concurrent use; what happens
// just as one part of a window follows another may be missed. Who changes the window clears it.
type Tally struct {
	parts [parts]struct {
		at     atomic.Int64  // which part of time is counted here
		counts atomic.Uint64 // all in the upper half, those of the kind in the lower
	}
}

// parts is in how many parts a window is counted.
const parts = 10

const (
	countBits = 32
	countMask = 1<<countBits - 1
)

// part is the part of time at a moment, which is never that of the zero value.
func part(now int64, window time.Duration) int64 { return now/max(1, int64(window)/parts) + 1 }

// Add counts at a time of a pool's clock; all and some are not negative.
func (t *Tally) Add(now int64, window time.Duration, all, some int64) {
	at := part(now, window)
	p := &t.parts[at%parts]
	if before := p.at.Load(); before != at && p.at.CompareAndSwap(before, at) {
		p.counts.Store(0)
	}
	p.counts.Add(uint64(all)<<countBits | uint64(some))
}

// Sums gives the counts of the window.
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
