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
// Begin puts one into it; with any other context, Begin has to copy the request. It is for one request at a time, and
// is reused for another one only if Leave allows it.
type RequestContext struct {
	cancel.Context

	x           *Exchange // nil before Begin
	head, reply *Lines    // of the request, and of the response to come; nil: not known
	room        Exchange
}

// Heads tells c which Lines are the heads of its request and of the response to come, so that they need not be looked
// up. It must be called before anyone else has c.
func (c *RequestContext) Heads(request, reply *Lines) {
	c.head, c.reply = request, reply
}

// Leave makes c, which has ended, drop everything that belongs to its request, and reports whether c may be used Again,
// along with the request itself. It may not if anyone could still have either of them, or if poison.On.
func (c *RequestContext) Leave() bool {
	if c.x != &c.room || !c.room.alone || !c.room.forgone || !c.Context.Leave() {
		return false
	}
	c.x, c.head, c.reply = nil, nil, nil
	stale := poison.Text()
	c.room = Exchange{ID: stale, Host: stale, Path: stale, Query: stale, Route: stale}
	return !poison.On
}

// Alone says that x and its request are held only by the code that serves it, the code that passes it on to a backend,
// and filters that declare that they keep nothing (filter.Policy): no observer of requests, and no other filter. These
// keep nothing of it, except as described at Forgo.
func (x *Exchange) Alone() { x.alone = true }

// Forgo says that the code that passes the request of x on has given up everything that was made of it, and so has
// everyone it was given to.
func (x *Exchange) Forgo() { x.forgone = true }

// Value returns the parent's values, except for the exchange (context.Context).
func (c *RequestContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// New returns an empty exchange for r, which Begin must be called with next. It lies in r's context if that has room
// for it: code that keeps one keeps the other anyway.
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
// request, and never reused.
type InnerContext struct {
	cancel.Context

	x *Exchange // nil before Bear
}

// Bear puts x into c. It must be called once, before anyone else has c.
func (c *InnerContext) Bear(x *Exchange) { c.x = x }

// Value returns the parent's values, except for the exchange (context.Context).
func (c *InnerContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// OutContext is the context of a request to a backend. The code that sends the request may borrow it if no one else has
// it, so that it is sent in a context of the sender's own without a copy of the request. Only the embedded Context is
// always the maker's.
type OutContext struct {
	cancel.Context

	request  *http.Request   // that may be borrowed; nil: none
	borrower context.Context //nolint:containedctx // stands in for c; nil: nobody has borrowed the request
}

// Entrust lets r, whose context is c, be borrowed once, if r is held only by the code that passes x on, the code that
// sends r, and filters between them that keep nothing. It must be called before r is sent.
func (c *OutContext) Entrust(r *http.Request, x *Exchange) {
	if x.alone {
		c.request = r
	}
}

// Borrow makes ctx, which must be below MakerContext(r), the context of r, and returns false if r may not be borrowed.
// The first attempt to send r may borrow it. A further attempt does not know what state the first one has left, so it
// must watch MakerContext(r) for the end. The context of r is the borrower's until Return. It has therefore ended if
// the attempt has failed, even if another one has succeeded since: code that goes on with r must use MakerContext(r).
func Borrow(ctx context.Context, r *http.Request) bool {
	c, ok := r.Context().(*OutContext)
	if !ok || c.request != r {
		return false
	}
	c.request, c.borrower = nil, ctx
	return true
}

// Return ends what Borrow has begun, once no one that r was sent to has it any more.
func Return(r *http.Request) {
	if c, ok := r.Context().(*OutContext); ok {
		c.borrower = nil
	}
}

// MakerContext returns the context that r was made with, which is r's own unless r is borrowed.
func MakerContext(r *http.Request) context.Context {
	if c, ok := r.Context().(*OutContext); ok {
		return &c.Context
	}
	return r.Context()
}

// Leave is the embedded Context's.
func (c *OutContext) Leave() bool {
	if !c.Context.Leave() {
		return false
	}
	c.request, c.borrower = nil, nil
	return true
}

// Done is the borrower's or the maker's, as are the methods below (context.Context).
func (c *OutContext) Done() <-chan struct{} {
	if c.borrower != nil {
		return c.borrower.Done()
	}
	return c.Context.Done()
}

// Err returns nil, or why c has ended (context.Context).
func (c *OutContext) Err() error {
	if c.borrower != nil {
		return c.borrower.Err()
	}
	return c.Context.Err()
}

// Deadline returns when c ends by itself (context.Context).
func (c *OutContext) Deadline() (time.Time, bool) {
	if c.borrower != nil {
		return c.borrower.Deadline()
	}
	return c.Context.Deadline()
}

// Value returns what c carries (context.Context).
func (c *OutContext) Value(key any) any {
	if c.borrower != nil {
		return c.borrower.Value(key)
	}
	return c.Context.Value(key)
}

// SetContext gives r itself another context, without the memory that a copy of r costs. Nobody else may have r yet.
// It is not inlined, because it has a copy on its stack, which a caller would keep while a request is answered.
//
//go:noinline
func SetContext(ctx context.Context, r *http.Request) { *r = *r.WithContext(ctx) }

// With returns r with x in its context; Begin does this for you.
func With(r *http.Request, x *Exchange) *http.Request { return r.WithContext(Context(r.Context(), x)) }

// Context returns ctx with x in it, for a request that is made with it.
func Context(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// From returns the exchange that ctx belongs to, or nil outside of one.
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

// fromBelow is From of a context that is not the request's own.
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
