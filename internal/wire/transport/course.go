package transport

import (
	"context"
	"sync"
	"time"
)

// How long course.wakeUntil waits between two attempts: net/http starts waiting at once, unless it is late.
const (
	firstLook = 50 * time.Microsecond
	lastLook  = 10 * time.Millisecond
)

// course is the context of an attempt that sends content over HTTP/2. In addition to ending as every context does, it
// can wake the goroutine that is waiting for its end at that moment, and no other.
//
// This is for a stream that fails while a Read of the content waits. net/http waits for the failure of the stream or
// the end of the context, whichever comes first. If the stream has failed, it waits for the Read, or again for the end
// of the context, before it returns the error. Ending the context would end that second wait. But if net/http's
// goroutine is late to the first wait, it finds that both have happened and takes one at random. The end of the context
// then hides both what has happened and that the backend promises not to have acted on the request. A goroutine that is
// woken alone has passed the first wait.
type course struct {
	context.Context //nolint:containedctx // it is one

	done chan struct{} // sent to, and closed at the end
	mu   sync.Mutex    // held while done is closed or sent to
	over bool
}

// courseOf returns a course that ends with ctx, and a function that ends both; cancel ends ctx.
func courseOf(ctx context.Context, cancel context.CancelCauseFunc) (*course, context.CancelCauseFunc) {
	c := &course{Context: ctx, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, c.end)
	return c, func(cause error) {
		stop() // what is done here needs no goroutine
		cancel(cause)
		c.end()
	}
}

// Done returns a channel that is closed when c has ended (context.Context).
func (c *course) Done() <-chan struct{} {
	if c.Err() != nil { // and end may not have been called yet
		c.end()
	}
	return c.done
}

// AfterFunc is called by package context on behalf of child contexts. Without it, their goroutines would wait for the
// end, and be woken by wake.
func (c *course) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

func (c *course) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.done)
	}
}

// wake wakes a goroutine that waits for the end, and reports whether there was one or c has ended. A wake-up that no
// goroutine takes at once is not kept for later ones.
func (c *course) wake() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return true
	}
	select {
	case c.done <- struct{}{}:
		return true
	default:
		return false
	}
}

// wakeUntil wakes a goroutine that waits for the end, as soon as there is one. It gives up when needless returns true.
func (c *course) wakeUntil(needless func() bool) {
	for wait := firstLook; !needless() && !c.wake(); wait = min(2*wait, lastLook) {
		<-time.After(wait)
	}
}
