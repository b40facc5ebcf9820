package service

import (
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/cancel"
)

// bound is the context of an attempt whose head must come in time. Only where somebody waits
// for its end is there a timer; who looks at Err now and then, as wire/http1's client does, finds
// out by the clock.
type bound struct {
	cancel.Context

	attempt *attempt

	mu    sync.Mutex // guards what follows
	begun time.Time  // the wait; zero: it has not
	timer *time.Timer
}

// begin begins the wait for the head at a time, which is now; only the first call counts.
func (b *bound) begin(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.attempt.phase.CompareAndSwap(sending, waiting) {
		return
	}
	b.begun = now
	if b.timer != nil {
		b.timer.Reset(b.attempt.limit)
	}
}

// Done is closed when the attempt has ended (context.Context).
func (b *bound) Done() <-chan struct{} {
	b.mu.Lock()
	if b.timer == nil && b.attempt.phase.Load() <= waiting {
		in := never
		if !b.begun.IsZero() {
			in = b.attempt.limit - time.Since(b.begun)
		}
		b.timer = time.AfterFunc(in, b.expire)
	}
	b.mu.Unlock()
	return b.Context.Done()
}

// Err tells whether the attempt has ended (context.Context).
func (b *bound) Err() error {
	b.mu.Lock()
	late := !b.begun.IsZero() && b.attempt.phase.Load() == waiting && time.Since(b.begun) >= b.attempt.limit
	b.mu.Unlock()
	if late {
		b.expire()
	}
	return b.Context.Err()
}

func (b *bound) expire() {
	if b.attempt.phase.CompareAndSwap(waiting, timedOut) {
		b.Cancel(errHeadTimeout)
	}
}

// stop ends the wait.
func (b *bound) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
}
