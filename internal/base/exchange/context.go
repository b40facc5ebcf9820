package exchange

import (
	"context"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/cancel"
	"github.com/weir-gateway/weir/internal/base/poison"
)

type contextKey struct{}

// RequestContext is a context that an engine may give a request. It has room for the request's exchange (see New), and
// Begin stores an exchange in it, whereas with any other context Begin has to copy the request. It is for one request
// at a time, and may serve another one only as described at Leave.
type RequestContext struct {
	cancel.Context

	x           *Exchange // nil before Begin
	head, reply *Lines    // of the request, and of the response to come; nil if not set
	room        Exchange
}

// Heads tells c which Lines are the heads of its request and of the response to come, so that nothing has to search for
// them. It must be called before anything else has c.
func (c *RequestContext) Heads(request, reply *Lines) {
	c.head, c.reply = request, reply
}

// Leave makes c, which has ended, drop everything that belongs to its request. It reports whether c and the request
// itself may be reused by Again. They may not if something may still hold either of them, or if poison.On is set. What
// is left of the memory for ids is kept: strings share that memory, but no byte of it is given out twice.
func (c *RequestContext) Leave() bool {
	if c.x != &c.room || !c.room.alone || !c.room.forgone || !c.Context.Leave() {
		return false
	}
	c.x, c.head, c.reply = nil, nil, nil
	x := &c.room
	ids, left := x.idRoom, x.idsLeft
	*x = Exchange{} // and then field by field: a value with fields of x would be made elsewhere, and copied
	x.again, x.idRoom, x.idsLeft = true, ids, left
	if poison.On {
		stale := poison.Text()
		x.ID, x.Host, x.Path, x.Query, x.Route = stale, stale, stale, stale, stale
	}
	return !poison.On
}

// Alone declares that x and its request are held only by the code that serves it, the code that passes it on to a
// backend, and filters that declare that they keep nothing (filter.Policy). No other filter has them, and nothing that
// is told about requests. All of these keep nothing of it, except for what Forgo covers.
func (x *Exchange) Alone() { x.alone = true }

// Forgo declares that the code that passes the request of x on has given up everything made from it, as has everything
// that it was given to.
func (x *Exchange) Forgo() { x.forgone = true }

// Value returns the exchange for its key, and the parent's value otherwise (context.Context).
func (c *RequestContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// New returns an empty exchange for r; Begin must be called with it next. The exchange is stored in r's context if that
// has room for it: whatever keeps one keeps the other anyway.
func New(r *http.Request) *Exchange {
	if c, ok := r.Context().(*RequestContext); ok && c.x == nil {
		return &c.room
	}
	return new(Exchange)
}

// begin returns r with x in its context.
func begin(r *http.Request, x *Exchange) *http.Request {
	if c, ok := r.Context().(*RequestContext); ok && c.x == nil {
		c.x = x
		return r
	}
	return With(r, x)
}

// InnerContext is a context for a request that is made within an exchange and has an exchange of its own. It is for one
// request and never reused.
type InnerContext struct {
	cancel.Context

	x *Exchange // nil before Bear
}

// Bear puts x into c. It must be called once, before anything else has c.
func (c *InnerContext) Bear(x *Exchange) { c.x = x }

// Value returns the exchange for its key, and the parent's value otherwise (context.Context).
func (c *InnerContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// OutContext is the context of a request to a backend. The code that sends the request may borrow it if nothing else
// has it. The request is then sent in the sender's own context, without a copy. Only the embedded Context is the
// maker's at all times.
type OutContext struct {
	cancel.Context

	request  *http.Request   // the request that may be borrowed; nil: none
	borrower context.Context //nolint:containedctx // stands in for c; nil: nobody has borrowed the request
}

// Entrust lets r, whose context is c, be borrowed once if x is alone. Then nothing has r except the code that passes x
// on, the code that sends r, and filters between them that keep nothing. It must be called before r is sent.
func (c *OutContext) Entrust(r *http.Request, x *Exchange) {
	if x.alone {
		c.request = r
	}
}

// Borrow makes ctx the context of r, and reports whether r may be borrowed. ctx must be a descendant of
// MakerContext(r). Only the first attempt to send r may borrow it. What that attempt leaves behind is unknown to a
// further attempt, which must therefore call MakerContext(r).Done.
//
// The context of r is the borrower's until Return. It has therefore ended if the attempt failed, even if a later
// attempt succeeded: code that goes on with r after that must use MakerContext(r).
func Borrow(ctx context.Context, r *http.Request) bool {
	c, ok := r.Context().(*OutContext)
	if !ok || c.request != r {
		return false
	}
	c.request, c.borrower = nil, ctx
	return true
}

// Return ends a Borrow, once nothing that r was sent to holds r any more.
func Return(r *http.Request) {
	if c, ok := r.Context().(*OutContext); ok {
		c.borrower = nil
	}
}

// MakerContext returns the context that r was made with. It is r's own context if r is not borrowed.
func MakerContext(r *http.Request) context.Context {
	if c, ok := r.Context().(*OutContext); ok {
		return &c.Context
	}
	return r.Context()
}

// Leave calls Leave of the embedded context.
func (c *OutContext) Leave() bool {
	if !c.Context.Leave() {
		return false
	}
	c.request, c.borrower = nil, nil
	return true
}

// Done is the borrower's if the request is borrowed, and the maker's otherwise, as are the methods below
// (context.Context).
func (c *OutContext) Done() <-chan struct{} {
	if c.borrower != nil {
		return c.borrower.Done()
	}
	return c.Context.Done()
}

// Err reports whether c has ended, and how (context.Context).
func (c *OutContext) Err() error {
	if c.borrower != nil {
		return c.borrower.Err()
	}
	return c.Context.Err()
}

// Deadline is when c ends by itself (context.Context).
func (c *OutContext) Deadline() (time.Time, bool) {
	if c.borrower != nil {
		return c.borrower.Deadline()
	}
	return c.Context.Deadline()
}

// Value returns a value that c carries (context.Context).
func (c *OutContext) Value(key any) any {
	if c.borrower != nil {
		return c.borrower.Value(key)
	}
	return c.Context.Value(key)
}

// SetContext changes the context of r in place, which saves the allocation of a copy. Nothing else may have r yet. It
// is not inlined, because it has a copy of the request on its stack, which would otherwise stay on the caller's stack
// while a request is answered.
//
//go:noinline
func SetContext(ctx context.Context, r *http.Request) { *r = *r.WithContext(ctx) }

// With returns r with x in its context. Begin does this itself.
func With(r *http.Request, x *Exchange) *http.Request { return r.WithContext(Context(r.Context(), x)) }

// Context returns ctx with x in it, for a request that is made with it.
func Context(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// From returns the exchange that ctx belongs to, or nil outside an exchange.
func From(ctx context.Context) *Exchange {
	switch c := ctx.(type) { // of a request to a backend
	case *cancel.Context:
		ctx = c.Parent()
	case *OutContext:
		ctx = c.Parent()
	}
	if c, ok := ctx.(*RequestContext); ok && c.x != nil {
		return c.x
	}
	return fromBelow(ctx)
}

// fromBelow is From for a context that is not the request's own.
func fromBelow(ctx context.Context) *Exchange {
	x, _ := ctx.Value(contextKey{}).(*Exchange)
	return x
}

// Of returns the exchange of r. It panics if there is none: code that calls it is only ever reached through Begin.
func Of(r *http.Request) *Exchange {
	x := From(r.Context())
	if x == nil {
		panic("exchange.Of: request without an exchange")
	}
	return x
}
