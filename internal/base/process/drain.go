package process

import (
	"os"
	"sync"
	"time"
)

// tap is a pipe that is being read and that can tell when everything in it has been read. Its zero value is ready for
// use once file is set.
type tap struct {
	file *os.File

	mu      sync.Mutex
	idle    bool // the reader has processed all it has read, and waits for more
	ended   bool
	drained []chan struct{} // closed when nothing is left to read
}

// waits records that the reader has found nothing to read. The caller holds t.mu.
func (t *tap) waits() {
	t.idle = true
	t.tell()
}

// ends records that no more output will come.
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

// empty returns a channel that is closed when everything now in the pipe has been read. It returns nil if that is
// already so.
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

// longestDrain bounds the wait for a process that keeps writing.
const longestDrain = 100 * time.Millisecond

// Drain returns when all lines that the process has written so far have been passed to Spec.Line. A line without an end
// is not waited for. If the process keeps writing, Drain does not wait longer than longestDrain.
func (p *Process) Drain() { p.drain(longestDrain) }

func (p *Process) drain(longest time.Duration) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for _, t := range p.taps {
		if t == nil {
			continue // it writes to its own files
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
