package balance

import (
	"slices"
	"sync"
	"sync/atomic"
)

// line is the queue of requests that wait for a place, in order of arrival. Its lock is not taken for a request that
// ends while none waits.
type line struct {
	n    atomic.Int64
	mu   sync.Mutex
	wait []*Waiter
}

// Waiter is a request that waits in the line.
type Waiter struct {
	line  *line
	ready chan struct{}
}

// Join returns a place in the line, or nil if `most` requests wait already.
func (p *Pool) Join(most int) *Waiter {
	l := &p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wait) >= most {
		return nil
	}
	w := &Waiter{l, make(chan struct{}, 1)}
	l.wait = append(l.wait, w)
	l.n.Store(int64(len(l.wait)))
	return w
}

// Ready receives each time that it is worth asking: w is the first in the line, and there may be room.
func (w *Waiter) Ready() <-chan struct{} { return w.ready }

// Leave gives up the place, and lets the next waiter ask.
func (w *Waiter) Leave() {
	l := w.line
	l.mu.Lock()
	l.wait = slices.DeleteFunc(l.wait, func(other *Waiter) bool { return other == w })
	l.n.Store(int64(len(l.wait)))
	l.mu.Unlock()
	l.call()
}

// call lets the first waiter ask.
func (l *line) call() {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wait) > 0 {
		select {
		case l.wait[0].ready <- struct{}{}:
		default:
		}
	}
}

// Call lets the first waiter ask again, because there may be room with another list.
func (p *Pool) Call() { p.line.call() }

// Waiting returns how many requests wait.
func (p *Pool) Waiting() int64 { return p.line.n.Load() }
