package service

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/cancel"
)

// bound is the context of an attempt whose head must come in time. There is a timer only if something waits for the
// context's end. A caller that polls Err, as wire/http1's client does, learns of the timeout from the clock.
type bound struct {
	cancel.Context

	attempt *attempt

	mu    sync.Mutex // held while the timer is made or changed
	timer atomic.Pointer[time.Timer]
}

// begun returns when the wait began; it is called only in a phase in which the wait has begun.
func (b *bound) begun() int64 { return b.attempt.start + int64(b.attempt.sentAfter()) }

// left returns how much of the wait is left.
func (b *bound) left() time.Duration {
	return b.attempt.limit - time.Duration(b.attempt.service.pool.Now()-b.begun())
}

// begin begins the wait for the head, because the request was sent now; only the first call counts.
func (b *bound) begin() {
	if b.attempt.phase.CompareAndSwap(sending, waiting) && b.timer.Load() != nil {
		b.set()
	}
}

// set sets the timer.
func (b *bound) set() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attempt.phase.Load() == waiting {
		b.timer.Load().Reset(b.left())
	}
}

// Done is closed when the attempt has ended (context.Context).
func (b *bound) Done() <-chan struct{} {
	if b.timer.Load() == nil {
		b.await()
	}
	return b.Context.Done()
}

// await makes the timer. A goroutine that begins or ends the wait meanwhile changes the phase before it looks for a
// timer.
func (b *bound) await() {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := never
	phase := b.attempt.phase.Load()
	switch {
	case b.timer.Load() != nil || phase > waiting:
		return
	case phase == waiting:
		in = b.left()
	}
	timer := time.AfterFunc(in, b.expire)
	b.timer.Store(timer)
	switch now := b.attempt.phase.Load(); {
	case now > waiting:
		timer.Stop()
	case now != phase:
		timer.Reset(b.left())
	}
}

// Err reports whether the attempt has ended (context.Context).
func (b *bound) Err() error {
	if b.attempt.phase.Load() == waiting && b.left() <= 0 {
		b.expire()
	}
	return b.Context.Err()
}

func (b *bound) expire() {
	if b.attempt.phase.CompareAndSwap(waiting, timedOut) {
		b.Cancel(errHeadTimeout)
	}
}

// stop stops the timer of a wait that has ended, as the phase says already.
func (b *bound) stop() {
	if b.timer.Load() != nil {
		b.quieten()
	}
}

// quieten stops the timer.
func (b *bound) quieten() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer.Load().Stop()
}
