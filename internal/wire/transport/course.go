package transport

import (
	"context"
	"sync"
	"time"
)

// How long course.wakeUntil waits between two looks: net/http begins to wait at once, unless it is late.
const (
	firstLook = 50 * time.Microsecond
	lastLook  = 10 * time.Millisecond
)

// course is the context of an attempt that sends content over HTTP/2. Besides ending as every context does, it can wake
// who waits for its end at that moment, and nobody else.
//
// That is for a stream that fails while a Read of the content waits. net/http looks which comes first, what becomes of the
// stream or the context's end, and where the stream has failed it waits for the Read, or again for the context's end, before
// it says why. The end would do to end that. But where the goroutine that looks is late, it finds that both have
// come about and takes one at random, and the context's end says nothing: neither what has happened, nor that the backend
// promises not to have acted on the request. Who is woken alone has had its look.
type course struct {
	context.Context //nolint:containedctx // it is one

	done chan struct{} // sent to, and closed at the end
	mu   sync.Mutex    // held while done is closed or sent to
	over bool
}

// courseOf gives a course that ends with ctx, and what ends both; cancel ends ctx.
func courseOf(ctx context.Context, cancel context.CancelCauseFunc) (*course, context.CancelCauseFunc) {
	c := &course{Context: ctx, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, c.end)
	return c, func(cause error) {
		stop() // no goroutine is needed for what is done here
		cancel(cause)
		c.end()
	}
}

// Done is closed when c has ended (context.Context).
func (c *course) Done() <-chan struct{} {
	if c.Err() != nil { // and end may not have been called yet
		c.end()
	}
	return c.done
}

// AfterFunc is what package context asks for on behalf of the contexts below, whose goroutines would else wait for the end, and
// be woken.
func (c *course) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

func (c *course) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.done)
	}
}

// wake wakes one who waits for the end, and tells whether somebody did or c has ended. What nobody takes at once is
// not left for who comes later.
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

// wakeUntil wakes who waits for the end, as soon as anybody does. It gives up when needless says so.
func (c *course) wakeUntil(needless func() bool) {
	for wait := firstLook; !needless() && !c.wake(); wait = min(2*wait, lastLook) {
		<-time.After(wait)
	}
}
