package cloud

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// PoolBounds are the bounds of a Pool. They may change while it is used.
type PoolBounds struct {
	Max  int           // calls at once
	Size int           // of the queue
	Wait time.Duration // in the queue
}

// Pool bounds how many calls are under way at once at a platform that has a limit too: for all functions of one account
// and region together. Calls beyond the bound wait in order. When the platform says that there are too many calls, the
// pool shrinks; it grows back slowly. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	bounds  PoolBounds
	taught  int // the limit that throttling has left, at least 1; 0: that of the bounds
	served  int // since taught has changed
	busy    int
	waiting list.List // of chan struct{}

	throttled time.Time // when the pool was last made smaller; zero: never
}

// NewPool makes a Pool.
func NewPool(b PoolBounds) *Pool { return &Pool{bounds: b} }

// Tune changes the bounds in place. A limit learned from throttling stays.
func (p *Pool) Tune(b PoolBounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bounds = b
	p.let()
}

// limit returns how many calls may be under way now.
func (p *Pool) limit() int {
	if p.taught == 0 {
		return p.bounds.Max
	}
	return min(p.taught, p.bounds.Max)
}

// Acquire waits for room for one call. If there is no error, Release must follow. The error is a *fault.Fault or the
// cause with which ctx has ended.
func (p *Pool) Acquire(ctx context.Context) error {
	p.mu.Lock()
	if p.busy < p.limit() && p.waiting.Len() == 0 {
		p.busy++
		p.mu.Unlock()
		return nil
	}
	if p.waiting.Len() >= p.bounds.Size {
		limit := p.limit()
		p.mu.Unlock()
		return fault.FunctionBusy.New("", fault.RetryAfter(time.Second),
			fault.Internal("as many calls wait as may, for one of %d of this account and region", limit))
	}
	turn := make(chan struct{})
	place := p.waiting.PushBack(turn)
	wait := p.bounds.Wait
	p.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var err error
	select {
	case <-turn:
		return nil
	case <-timer.C:
		err = fault.FunctionQueueTime.New("", fault.RetryAfter(time.Second), fault.Internal("no call of this account and region has ended within %v", wait))
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-turn: // it came at the same moment
		return nil
	default:
		p.waiting.Remove(place)
		return err
	}
}

// Release ends a call that Acquire has admitted.
func (p *Pool) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.let()
}

// let gives free places to the calls that have waited longest.
func (p *Pool) let() {
	for p.busy < p.limit() && p.waiting.Len() > 0 {
		turn, _ := p.waiting.Remove(p.waiting.Front()).(chan struct{})
		p.busy++
		close(turn)
	}
}

// throttleCalm is how long further throttling counts as the same event after the pool was made smaller, because the
// calls of one burst are refused together.
const throttleCalm = time.Second

// Throttled says that the platform has refused a call because there are too many: the calls under way are one too many.
// Other clients may call there too, so that the pool's own calls under way may be few. One throttling event therefore
// takes no more than half of the pool.
func (p *Pool) Throttled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = 0
	if now := time.Now(); now.Sub(p.throttled) >= throttleCalm {
		p.throttled = now
		limit := p.limit()
		p.taught = max(1, limit/2, min(limit, p.busy-1))
	}
}

// Served says that the platform has accepted a call. After as many accepted calls as the limit allows at once, the
// limit grows by one.
func (p *Pool) Served() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taught == 0 || p.taught >= p.bounds.Max { // calls within the bounds say nothing about more
		return
	}
	if p.served++; p.served < p.taught {
		return
	}
	p.served = 0
	if p.taught++; p.taught == p.bounds.Max {
		p.taught = 0
	}
	p.let()
}

// PoolStatus is a snapshot of a Pool's state.
type PoolStatus struct{ Busy, Waiting, Limit, Max int }

// Status returns the current state.
func (p *Pool) Status() PoolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStatus{Busy: p.busy, Waiting: p.waiting.Len(), Limit: p.limit(), Max: p.bounds.Max}
}
