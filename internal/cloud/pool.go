package cloud

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// PoolBounds are those of a Pool. They may change while it is used.
type PoolBounds struct {
	Max  int           // calls at once
	Size int           // of the queue
	Wait time.Duration // in the queue
}

// Pool bounds how many calls are under way at once at a platform that bounds them too:
// for all functions of one account and region together. Who comes too many waits, in
// order. Where the platform says that there are too many, the pool grows smaller, and
// comes back slowly. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	bounds  PoolBounds
	taught  int // how many throttles have left it, at least 1; 0: as many as the bounds say
	served  int // since taught has changed
	busy    int
	waiting list.List // of chan struct{}

	throttled time.Time // when it was made smaller, zero: never
}

// NewPool makes a Pool.
func NewPool(b PoolBounds) *Pool { return &Pool{bounds: b} }

// Tune changes the bounds in place. What a throttle has taught stays.
func (p *Pool) Tune(b PoolBounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bounds = b
	p.let()
}

// limit is how many calls may be under way now.
func (p *Pool) limit() int {
	if p.taught == 0 {
		return p.bounds.Max
	}
	return min(p.taught, p.bounds.Max)
}

// Acquire waits for room for one call. Release must follow where there is no error. The
// error is a *fault.Fault or the cause with which ctx has ended.
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
	case <-turn: // at the same moment
		return nil
	default:
		p.waiting.Remove(place)
		return err
	}
}

// Release ends a call that Acquire let begin.
func (p *Pool) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.let()
}

// let gives what is free to who waits longest.
func (p *Pool) let() {
	for p.busy < p.limit() && p.waiting.Len() > 0 {
		turn, _ := p.waiting.Remove(p.waiting.Front()).(chan struct{})
		p.busy++
		close(turn)
	}
}

// throttleCalm is how long what has made a pool smaller is one event: the calls of one burst
// are refused together.
const throttleCalm = time.Second

// Throttled tells that the platform has more calls than it takes: those under way are
// one too many. Others may call there too, so that these may be few: one throttle takes no more
// than half of the pool.
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

// Served tells that the platform has taken a call. After as many as there may be at once,
// one more may be.
func (p *Pool) Served() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taught == 0 || p.taught >= p.bounds.Max { // all that it lets through says nothing of more
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

// PoolStatus is a picture of a Pool.
type PoolStatus struct{ Busy, Waiting, Limit, Max int }

// Status tells how it is now.
func (p *Pool) Status() PoolStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStatus{Busy: p.busy, Waiting: p.waiting.Len(), Limit: p.limit(), Max: p.bounds.Max}
}
