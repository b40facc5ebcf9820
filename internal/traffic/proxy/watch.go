package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// The causes with which an exchange's context ends when its time is up.
var (
	errIdle  = errors.New("no piece of a body came within timeout.idle")
	errTotal = errors.New("the exchange took longer than timeout.total")
)

// watch bounds an exchange in time. The idle clock runs while a body is under way
// in either direction, and is touched whenever a piece has moved. Its timer is made by the first
// body that may have to be waited for, and is not reset with each piece, which would cost: when
// it fires it looks when the last piece was, and sleeps again. The zero bounds are none.
type watch struct {
	idle    time.Duration
	expirer expirer
	last    atomic.Int64 // when a piece moved, by the clock
	bodies  atomic.Int32 // how many are under way

	mu      sync.Mutex // guards what follows; held while expire runs, so that stop waits for it
	stopped bool
	begun   bool        // a body was under way
	fired   bool        // a timer has fired, whose function may run yet
	timer   *time.Timer // for bodies, of one exchange after the other; nil: none was under way yet
	total   *time.Timer // nil: no bound
}

// origin is what moments are counted from, so that one is a number.
var origin = time.Now()

// clock gives the nanoseconds since then.
func clock() int64 { return int64(time.Since(origin)) }

// expirer is told that a time is up.
type expirer interface{ expire(cause error) }

// expiring is a function that is.
type expiring func(cause error)

func (f expiring) expire(cause error) { f(cause) }

// start starts the clock of the whole exchange. When a time is up it tells e.
func (w *watch) start(t config.Timeouts, e expirer) {
	w.idle, w.expirer = max(0, t.Idle), e
	if t.Total > 0 {
		w.total = time.AfterFunc(t.Total, func() { w.end(errTotal) })
	}
}

// again makes w, which was stopped, ready for another exchange, and tells whether it may have one: not where a timer has fired, whose function may
// run yet.
func (w *watch) again() bool {
	if w.fired {
		return false
	}
	*w = watch{timer: w.timer}
	return true
}

// begin says that a body is under way from now on.
func (w *watch) begin() {
	if w.idle == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last.Store(clock())
	switch first := w.bodies.Add(1) == 1; {
	case w.timer == nil:
		w.timer = time.AfterFunc(w.idle, w.check)
	case first:
		w.fired = !w.timer.Reset(w.idle) && w.begun || w.fired
	}
	w.begun = true
}

// done says that a body has ended: only what is still under way is waited for.
func (w *watch) done() {
	if w.idle > 0 {
		w.bodies.Add(-1)
	}
}

// touch says that a piece has moved.
func (w *watch) touch() {
	if w.bodies.Load() > 0 {
		w.last.Store(clock())
	}
}

func (w *watch) check() {
	if w.bodies.Load() <= 0 {
		return // begin starts it again
	}
	quiet := time.Duration(clock() - w.last.Load())
	if quiet >= w.idle {
		w.end(errIdle)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer.Reset(w.idle - quiet)
	}
}

func (w *watch) end(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.stopped = true
		w.expirer.expire(cause)
	}
}

// stop ends the watch; its expirer's expire neither runs afterwards nor is still running.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.total != nil && !w.total.Stop() {
		w.fired = true
	}
	if w.begun && !w.timer.Stop() {
		w.fired = true
	}
}
