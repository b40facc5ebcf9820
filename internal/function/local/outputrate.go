package local

import (
	"sync"
	"time"
)

// outputRate bounds how much of an instance's output goes to the log, so that an instance that floods it neither fills
// a disk nor takes the machine from all others. The zero value is ready. It is safe for concurrent use.
type outputRate struct {
	mu       sync.Mutex
	since    time.Time // when used was true; zero before the first line
	used     int       // bytes of the burst that are not free yet
	dropping bool      // until there is room for many lines, so that lines are not dropped alternately
	dropped  int       // lines, since the last report
}

const (
	outputPerSecond = 1 << 20 // bytes
	outputBurst     = 8 << 20
	// outputResumes is how much must be free before lines are admitted again.
	outputResumes = outputPerSecond / 2
	// lineCosts is what a line costs in addition to its text: what the log writes around it.
	lineCosts = 256
)

// admit reports whether a line of the given size goes to the log, and if so, how many lines before it were dropped.
func (o *outputRate) admit(size int, now time.Time) (ok bool, dropped int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if passed := now.Sub(o.since); o.since.IsZero() || passed >= outputBurst/outputPerSecond*time.Second {
		o.used = 0
	} else {
		o.used = max(0, o.used-int(passed*outputPerSecond/time.Second))
	}
	o.since = now
	free := outputBurst - o.used
	if size += lineCosts; size > free || o.dropping && free < outputResumes {
		o.dropping = true
		o.dropped++
		return false, 0
	}
	o.used += size
	dropped, o.dropped, o.dropping = o.dropped, 0, false
	return true, dropped
}

// rest returns how many dropped lines have not been reported yet.
func (o *outputRate) rest() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.dropped
	o.dropped = 0
	return n
}
