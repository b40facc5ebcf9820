package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// The causes with which an exchange's context ends when a timeout fires.
var (
	errIdle  = errors.New("no piece of a body came within timeout.idle")
	errTotal = errors.New("the exchange took longer than timeout.total")
)

// watch bounds the duration of an exchange. The idle clock runs while a body is under way in
// either direction, and restarts whenever a piece has moved. The first body for which the
// proxy may have to wait creates its timer. The timer is not reset with each piece, which
// would be expensive: when it fires, it checks when the last piece moved, and sleeps again.
// A bound of zero is no bound.
type watch struct {
	idle    time.Duration
	expirer expirer
	last    atomic.Int64 // when the last piece moved, by clock
	bodies  atomic.Int32 // number of bodies under way

	mu      sync.Mutex // guards the fields below; held while expire runs, so that stop waits for it
	stopped bool
	begun   bool        // a body was under way
	fired   bool        // a timer has fired, and its function may still run
	timer   *time.Timer // for bodies, reused for one exchange after another; nil: none was under way yet
	total   *time.Timer // nil: no bound
}

// origin is the time from which clock counts, so that a time is a number.
var origin = time.Now()

// clock returns the nanoseconds since origin.
func clock() int64 { return int64(time.Since(origin)) }

// expirer is told that a timeout has fired.
type expirer interface{ expire(cause error) }

// expiring is a function as an expirer.
type expiring func(cause error)

func (f expiring) expire(cause error) { f(cause) }

// start starts the clock of the whole exchange. When a timeout fires, it calls e.expire.
func (w *watch) start(t config.Timeouts, e expirer) {
	w.idle, w.expirer = max(0, t.Idle), e
	if t.Total > 0 {
		w.total = time.AfterFunc(t.Total, func() { w.end(errTotal) })
	}
}

// again prepares a stopped w for another exchange, and reports whether w may be reused. It
// may not if a timer has fired, because the timer's function may still run.
func (w *watch) again() bool {
	if w.fired {
		return false
	}
	*w = watch{timer: w.timer}
	return true
}

// begin records that a body is under way from now on.
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

// done records that a body has ended; only bodies that are still under way are waited for.
func (w *watch) done() {
	if w.idle > 0 {
		w.bodies.Add(-1)
	}
}

// touch records that a piece has moved.
func (w *watch) touch() {
	if w.bodies.Load() > 0 {
		w.last.Store(clock())
	}
}

func (w *watch) check() {
	if w.bodies.Load() <= 0 {
		return // begin starts the timer again
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

// stop ends the watch. When it returns, the expirer's expire is not running and will not
// run any more.
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
