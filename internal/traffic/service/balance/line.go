package balance

import (
	"slices"
	"sync"
	"sync/atomic"
)

// line is who waits for a place, the first one first. Nobody touches its lock while nobody
// waits.
type line struct {
	n    atomic.Int64
	mu   sync.Mutex
	wait []*Waiter
}

// Waiter is one who waits.
type Waiter struct {
	line  *line
	ready chan struct{}
}

// Join gives a place in the line, unless most wait already: nil.
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

// Ready tells each time that it is worth asking: w is the first one, and there may be room.
func (w *Waiter) Ready() <-chan struct{} { return w.ready }

// Leave gives the place up, and lets the next one ask.
func (w *Waiter) Leave() {
	l := w.line
	l.mu.Lock()
	l.wait = slices.DeleteFunc(l.wait, func(other *Waiter) bool { return other == w })
	l.n.Store(int64(len(l.wait)))
	l.mu.Unlock()
	l.call()
}

// call lets the first one ask.
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

// Call lets the first one who waits ask again, as there may be room by another list.
func (p *Pool) Call() { p.line.call() }

// Waiting is how many wait.
func (p *Pool) Waiting() int64 { return p.line.n.Load() }
