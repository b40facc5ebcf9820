// Package cancel has a context that costs next to nothing while nobody waits for its end.
package cancel

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context is a child of another context that Cancel ends too, as the one that
// context.WithCancelCause makes. That one registers with its parent, which costs a lock and
// several allocations whether or not anybody waits for its end. This one does so when somebody
// asks for Done, as everything must that waits, contexts below it included; who only looks at
// Err now and then pays nothing.
//
// Under must be called first, and once. It is safe for concurrent use, and used again only as Leave says.
type Context struct {
	parent context.Context //nolint:containedctx // it is one
	limit  *Limit          // nil: none of its own
	over   atomic.Bool     // it was cancelled
	usual  atomic.Pointer[usual]

	mu sync.Mutex // held while usual is made
}

// usual is a context of the usual kind, which stands in for one that somebody waits for.
type usual struct {
	ctx    context.Context //nolint:containedctx // it is one
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // the timer; nil: there is none
}

// Limit is a time at which a Context ends by itself, and the cause that context.Cause gives then.
type Limit struct {
	Until time.Time
	Cause error
}

// Under makes c a child of parent.
func (c *Context) Under(parent context.Context) { c.parent = parent }

// Parent gives what c is a child of.
func (c *Context) Parent() context.Context { return c.parent }

// Leave has a context that has ended let go of its parent, and tells whether it may be used Again: not where anybody has
// waited for its end. The caller knows that nobody has it any more; who has it nevertheless finds that it has ended.
func (c *Context) Leave() bool {
	if c.usual.Load() != nil || !c.over.Load() {
		return false
	}
	c.parent, c.limit = context.Background(), nil
	return true
}

// Again makes c, which has left its parent, a child of another one.
func (c *Context) Again(parent context.Context) {
	c.parent = parent
	c.over.Store(false)
}

// Within has c end at a time as well, as the context that context.WithDeadlineCause makes. There
// is no timer while nobody waits: whoever looks at Err finds out by the clock, and context.Cause
// tells why only when that was asked. It must be called before anybody else has c, and l not be
// changed any more.
func (c *Context) Within(l *Limit) { c.limit = l }

// Cancel ends c; cause is what context.Cause gives then, nil for context.Canceled. Of several
// ends the first one counts, but for one without a cause of which nobody was told.
func (c *Context) Cancel(cause error) {
	if cause != nil {
		c.cancelFor(cause)
		return
	}
	c.over.Store(true) // before it is looked who waits: who begins to wait looks for it afterwards
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

// awaited gives the usual context, which is made where there is none yet.
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

// Err tells whether c has ended, and how (context.Context).
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

// Deadline is the parent's, or the limit where that comes before (context.Context).
func (c *Context) Deadline() (time.Time, bool) {
	t, ok := c.parent.Deadline()
	if c.limit != nil && (!ok || c.limit.Until.Before(t)) {
		return c.limit.Until, true
	}
	return t, ok
}

// Value is the parent's (context.Context). By it package context finds the usual context.
func (c *Context) Value(key any) any {
	if u := c.usual.Load(); u != nil {
		return u.ctx.Value(key)
	}
	return c.parent.Value(key)
}
