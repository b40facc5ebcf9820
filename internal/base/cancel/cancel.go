// Package cancel has a context that costs almost nothing while nothing waits for its end.
package cancel

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context is a child of another context that Cancel can end too, like the one that context.WithCancelCause returns.
// That one registers with its parent, which costs a lock and several allocations whether or not anything waits for its
// end. Context does so only when Done is called, which everything that waits must do, including contexts below it. Code
// that only checks Err now and then costs nothing.
//
// Under must be called first, and once. A Context is safe for concurrent use, and may be reused only as described at
// Leave.
type Context struct {
	parent context.Context //nolint:containedctx // it is one
	limit  *Limit          // nil: none of its own
	over   atomic.Bool     // it was cancelled
	usual  atomic.Pointer[usual]

	mu sync.Mutex // held while usual is made
}

// usual is a context of the usual kind, which replaces one that something waits for.
type usual struct {
	ctx    context.Context //nolint:containedctx // it is one
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // the timer; nil: there is none
}

// Limit is a time at which a Context ends by itself, and the cause that context.Cause then returns.
type Limit struct {
	Until time.Time
	Cause error
}

// Under makes c a child of parent.
func (c *Context) Under(parent context.Context) { c.parent = parent }

// Parent returns the parent of c.
func (c *Context) Parent() context.Context { return c.parent }

// Leave makes a context that has ended drop its parent, and reports whether it may be reused by Again. It may not if
// anything has waited for its end. The caller knows that nothing holds the context any more; code that holds it
// nevertheless finds that it has ended.
func (c *Context) Leave() bool {
	if c.usual.Load() != nil || !c.over.Load() {
		return false
	}
	c.parent, c.limit = context.Background(), nil
	return true
}

// Again makes c, which has left its parent, a child of another context.
func (c *Context) Again(parent context.Context) {
	c.parent = parent
	c.over.Store(false)
}

// Within makes c also end at a given time, like the context that context.WithDeadlineCause returns. There is no timer
// while nothing waits: Err compares with the clock, and context.Cause returns the limit's cause only after Err was
// called. Within must be called before anything else has c, and l must not be changed after that.
func (c *Context) Within(l *Limit) { c.limit = l }

// Cancel ends c; cause is what context.Cause then returns, nil for context.Canceled. If c ends several times, the first
// end counts, except one without a cause that nothing was notified of.
func (c *Context) Cancel(cause error) {
	if cause != nil {
		c.cancelFor(cause)
		return
	}
	c.over.Store(true) // before the check for waiters: a new waiter checks it afterwards
	if u := c.usual.Load(); u != nil {
		u.end(nil)
	}
}

func (c *Context) cancelFor(cause error) {
	c.mu.Lock()
	u := c.usual.Load()
	if u == nil && !c.over.Load() {
		u = c.await()
	}
	c.over.Store(true)
	c.mu.Unlock()
	if u != nil {
		u.end(cause)
	}
}

func (u *usual) end(cause error) {
	u.cancel(cause)
	if u.stop != nil {
		u.stop()
	}
}

// Done is closed when c has ended (context.Context).
func (c *Context) Done() <-chan struct{} {
	if u := c.usual.Load(); u != nil {
		return u.ctx.Done()
	}
	return c.awaited().ctx.Done()
}

// awaited returns the usual context, and makes it if there is none yet.
func (c *Context) awaited() *usual {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.usual.Load()
	if u == nil {
		u = c.await()
	}
	if c.over.Load() {
		u.end(nil)
	}
	return u
}

// await makes the usual context. The caller has locked mu.
func (c *Context) await() *usual {
	u := &usual{ctx: c.parent}
	if c.limit != nil {
		u.ctx, u.stop = context.WithDeadlineCause(u.ctx, c.limit.Until, c.limit.Cause)
	}
	u.ctx, u.cancel = context.WithCancelCause(u.ctx)
	c.usual.Store(u)
	return u
}

// Err reports whether c has ended, and how (context.Context).
func (c *Context) Err() error {
	if u := c.usual.Load(); u != nil {
		return u.ctx.Err()
	}
	if c.over.Load() {
		return context.Canceled
	}
	if err := c.parent.Err(); err != nil || c.limit == nil || time.Now().Before(c.limit.Until) {
		return err
	}
	return c.awaited().ctx.Err()
}

// Deadline is the parent's, or the limit if that is earlier (context.Context).
func (c *Context) Deadline() (time.Time, bool) {
	t, ok := c.parent.Deadline()
	if c.limit != nil && (!ok || c.limit.Until.Before(t)) {
		return c.limit.Until, true
	}
	return t, ok
}

// Value is the parent's (context.Context). Package context uses it to find the usual context.
func (c *Context) Value(key any) any {
	if u := c.usual.Load(); u != nil {
		return u.ctx.Value(key)
	}
	return c.parent.Value(key)
}
