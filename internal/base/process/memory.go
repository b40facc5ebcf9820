package process

import (
	"fmt"
	"time"
)

// The memory of a process is limited in one of two ways. A third, RLIMIT_AS and RLIMIT_DATA, does not suit language
// runtimes: these limits bound what is mapped, and a Go program of 1 MB maps 110 MB, a Python program of 7 MB with 16
// threads 140 MB.
//
//   - By the kernel, in a control group (version 2) of its own, if this program may make such groups (see cgroups).
//   - By polling: this program reads the memory use of the processes again and again, as often as they could use up
//     what is left. It kills them once they use too much.

// fastest is the most memory that a process is assumed to allocate in a second. What is left, divided by fastest, is
// the time until the next look.
const fastest = 256 << 20

// The bounds of that time.
const (
	shortestLook = 50 * time.Millisecond
	longestLook  = 2 * time.Second
)

func lookAgain(left int64) time.Duration {
	left = min(left, int64(longestLook/time.Second)*fastest)
	return max(time.Duration(left)*time.Second/fastest, shortestLook)
}

// watch polls the memory use of the process and of the processes beside it until its leader has ended. It kills the
// group once they use more than limit.
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
		if !ok { // it is ending, or the system does not tell
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

// overMemory records why the process is being killed.
func (p *Process) overMemory(used, limit int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped { // its number may already have been another process's when it was read
		return
	}
	p.tooMuch = fmt.Sprintf("killed for its memory: it used %s, and `memory` allows %s", mebibytes(used), mebibytes(limit))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
