package exchange

import (
	"context"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/cancel"
	"github.com/weir-gateway/weir/internal/base/poison"
)

type contextKey struct{}

// RequestContext is a context that an engine may give a request. It has room for the exchange of that (see New), and Begin
// puts one into it, where it has to copy a request with any other context. It is for one request at a time, and for another one only as Leave says.
type RequestContext struct {
	cancel.Context

	x           *Exchange // nil before Begin
	head, reply *Lines    // of the request, and of the response to come; nil: nobody has told them
	room        Exchange
}

// Heads tells c which Lines the heads of its request and of the response to come are, so that nobody has to look for them. It must be called
// before anybody else has c.
func (c *RequestContext) Heads(request, reply *Lines) {
	c.head, c.reply = request, reply
}

// Leave has c, which has ended, let go of all that is its request's, and tells whether it may be used Again, with the request itself: not where
// anybody may have either, nor where poison.On.
func (c *RequestContext) Leave() bool {
	if c.x != &c.room || !c.room.alone || !c.room.forgone || !c.Context.Leave() {
		return false
	}
	c.x, c.head, c.reply = nil, nil, nil
	stale := poison.Text()
	c.room = Exchange{ID: stale, Host: stale, Path: stale, Query: stale, Route: stale}
	return !poison.On
}

// Alone says that nothing has x or its request but who serves it and who passes it on to a backend: no hook, no filter, and nobody who is told of requests.
// These keep nothing of it, but for what Forgo is about.
func (x *Exchange) Alone() { x.alone = true }

// Forgo says that whoever passes the request of x on has given up all that was made of it, and so has everybody that it was given to.
func (x *Exchange) Forgo() { x.forgone = true }

// Value is the parent's, but for the exchange (context.Context).
func (c *RequestContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// New gives an empty exchange for r, which Begin must be called with next. It lies where r's context is, of which whoever keeps one
// keeps the other anyway.
func New(r *http.Request) *Exchange {
	if c, ok := r.Context().(*RequestContext); ok && c.x == nil {
		return &c.room
	}
	return new(Exchange)
}

// begin gives r with x in its context.
func begin(r *http.Request, x *Exchange) *http.Request {
	if c, ok := r.Context().(*RequestContext); ok && c.x == nil {
		c.x = x
		return r
	}
	return With(r, x)
}

// InnerContext is a context that may be given to a request which is made within an exchange, and bears one of
// its own. It is for one request, and never used again.
type InnerContext struct {
	cancel.Context

	x *Exchange // nil before Bear
}

// Bear puts x into c. It must be called once, before anybody else has c.
func (c *InnerContext) Bear(x *Exchange) { c.x = x }

// Value is the parent's, but for the exchange (context.Context).
func (c *InnerContext) Value(key any) any {
	if c.x != nil && key == any(contextKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// SetContext gives r itself another context, which a copy of it would cost memory for. Nobody else may have r yet.
// It is not inlined, since it has a copy on its stack, which whoever calls it would keep while a request is answered.
//
//go:noinline
func SetContext(ctx context.Context, r *http.Request) { *r = *r.WithContext(ctx) }

// With returns r with x in its context; Begin does it for you.
func With(r *http.Request, x *Exchange) *http.Request { return r.WithContext(Context(r.Context(), x)) }

// Context gives ctx with x in it, for a request that is made with it.
func Context(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// From gives the exchange that ctx belongs to, or nil outside of one.
func From(ctx context.Context) *Exchange {
	if c, ok := ctx.(*cancel.Context); ok { // of a request to a backend
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

// Of gives the exchange of r. It panics where there is none: code that calls
// it is only ever reached through Begin.
func Of(r *http.Request) *Exchange {
	x := From(r.Context())
	if x == nil {
		panic("exchange.Of: request without an exchange")
	}
	return x
}
