package balance

import "sync/atomic"

// Tally counts what happened in the latest part of time, and how much of that was of one
// kind. Its zero value with a Part is usable. It is safe for concurrent use; what happens
// just as one part of time follows another may be missed.
type Tally struct {
	Part  int64 // nanoseconds; the latest parts are counted
	parts [parts]struct{ at, all, some atomic.Int64 }
}

// parts is in how many parts a window is counted.
const parts = 10

// Add counts at a time of a pool's clock.
func (t *Tally) Add(now, all, some int64) {
	at := now/t.Part + 1
	p := &t.parts[at%parts]
	if before := p.at.Load(); before != at && p.at.CompareAndSwap(before, at) {
		p.all.Store(0)
		p.some.Store(0)
	}
	if all != 0 {
		p.all.Add(all)
	}
	if some != 0 {
		p.some.Add(some)
	}
}

// Sums gives the counts of the window.
func (t *Tally) Sums(now int64) (all, some int64) {
	at := now/t.Part + 1
	for i := range t.parts {
		if p := &t.parts[i]; at-p.at.Load() < parts {
			all += p.all.Load()
			some += p.some.Load()
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
