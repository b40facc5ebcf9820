package process

import (
	"fmt"
	"time"
)

// Memory of a process is held in one of two ways, for there is no third that
// runtimes bear: RLIMIT_AS and RLIMIT_DATA bound what is mapped, and a Go program
// of 1 MB maps 110, a Python of 7 MB with 16 threads 140.
//
//   - By the kernel, in a control group of its own (version 2), where this
//     program may make such groups (see cgroups).
//   - By looking: what the processes use is read again and again, as often as they
//     could use up what is left, and they are killed once it is too much.

// fastest is how much memory a process is believed to take in a second at most: what
// is left divided by it is when to look again.
const fastest = 256 << 20

// The bounds of that pause.
const (
	shortestLook = 50 * time.Millisecond
	longestLook  = 2 * time.Second
)

func lookAgain(left int64) time.Duration {
	left = min(left, int64(longestLook/time.Second)*fastest)
	return max(time.Duration(left)*time.Second/fastest, shortestLook)
}

// watch looks at the memory of the process, and of those beside it, until its leader has
// ended, and kills the group once that is more than limit.
func (p *Process) watch(limit int64) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.leaderGone:
			return
		}
		used, ok := p.home.used(limit)
		if !ok { // it is ending, or this system does not say
			used = 0
		}
		if used > limit {
			p.overMemory(used, limit)
			p.Kill()
			return
		}
		timer.Reset(lookAgain(limit - used))
	}
}

// overMemory notes why the process is being killed.
func (p *Process) overMemory(used, limit int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped { // what was looked at is a stranger already
		return
	}
	p.tooMuch = fmt.Sprintf("killed for its memory: it used %s, and `memory` allows %s", mebibytes(used), mebibytes(limit))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
