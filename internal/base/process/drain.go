package process

import (
	"os"
	"sync"
	"time"
)

// tap is a pipe that is read, and that can tell when everything in it was. The zero
// value but for file is ready.
type tap struct {
	file *os.File

	mu      sync.Mutex
	idle    bool // the reader has worked off what it got, and waits for more
	ended   bool
	drained []chan struct{} // closed when nothing is left
}

// waits notes that the reader has found nothing; t is locked.
func (t *tap) waits() {
	t.idle = true
	t.tell()
}

// ends notes that nothing will come any more.
func (t *tap) ends() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.tell()
}

func (t *tap) tell() {
	for _, c := range t.drained {
		close(c)
	}
	t.drained = nil
}

// empty gives a channel that is closed when all that is in the pipe by now was read;
// nil where that is so already.
func (t *tap) empty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.idle && isEmpty(t.file) {
		return nil
	}
	c := make(chan struct{})
	t.drained = append(t.drained, c)
	return c
}

// longestDrain bounds the wait for a process that does not cease to write.
const longestDrain = 100 * time.Millisecond

// Drain returns when the lines that the process has put out by now were given to
// Spec.Line, but for one that has no end yet. A process that writes on is not waited
// for long.
func (p *Process) Drain() { p.drain(longestDrain) }

func (p *Process) drain(longest time.Duration) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for _, t := range p.taps {
		if t == nil {
			continue // its output is its own
		}
		if c := t.empty(); c != nil {
			select {
			case <-c:
			case <-timer.C:
				return
			}
		}
	}
}
