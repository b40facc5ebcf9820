package proxy

import (
	"errors"
	"math"
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

// never is a time that no timer reaches.
const never = time.Duration(math.MaxInt64)

// watch bounds an exchange in time. The idle clock runs while a body is under way
// in either direction, and is touched whenever a piece has moved. Its timer is not reset
// each time, which would cost on each piece: when it fires it looks when the last
// piece was, and sleeps again. The zero bounds are none.
type watch struct {
	idle    time.Duration
	started time.Time
	last    atomic.Int64 // when a piece moved, as nanoseconds since started
	bodies  atomic.Int32 // how many are under way
	expire  func(cause error)

	mu      sync.Mutex // held while expire runs, so that stop waits for it
	stopped bool

	total, timer *time.Timer // nil: no bound
}

// newWatch starts the clock of the whole exchange. When a time is up it calls expire.
func newWatch(t config.Timeouts, expire func(cause error)) *watch {
	w := &watch{idle: max(0, t.Idle), started: time.Now(), expire: expire}
	if w.idle > 0 {
		w.timer = time.AfterFunc(never, w.check)
	}
	if t.Total > 0 {
		w.total = time.AfterFunc(t.Total, func() { w.end(errTotal) })
	}
	return w
}

// begin says that a body is under way from now on.
func (w *watch) begin() {
	if w.timer == nil {
		return
	}
	w.touch()
	if w.bodies.Add(1) == 1 {
		w.timer.Reset(w.idle)
	}
}

// done says that a body has ended: only what is still under way is waited for.
func (w *watch) done() {
	if w.timer != nil {
		w.bodies.Add(-1)
	}
}

// touch says that a piece has moved.
func (w *watch) touch() {
	if w.timer != nil {
		w.last.Store(int64(time.Since(w.started)))
	}
}

func (w *watch) check() {
	if w.bodies.Load() == 0 {
		return // begin starts it again
	}
	quiet := time.Since(w.started) - time.Duration(w.last.Load())
	if quiet >= w.idle {
		w.end(errIdle)
		return
	}
	w.timer.Reset(w.idle - quiet)
}

func (w *watch) end(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.stopped = true
		w.expire(cause)
	}
}

// stop ends the watch; expire neither runs afterwards nor is still running.
func (w *watch) stop() {
	if w.total != nil {
		w.total.Stop()
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
}
