package exchange

import (
	"context"
	"net/http"
	"time"

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

// Alone says that nothing has x or its request but who serves it, who passes it on to a backend, and filters that say of themselves that they keep nothing
// (filter.Policy): nobody who is told of requests, and no other filter. These keep nothing of it, but for what Forgo is about.
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

// OutContext is the context of a request to a backend. Whoever sends that may borrow it where nobody else has it, so that it is sent in
// a context of his own and no copy of it is made. Only the context of the type embedded is that of its maker all the time.
type OutContext struct {
	cancel.Context

	request  *http.Request   // that may be borrowed; nil: none
	borrower context.Context //nolint:containedctx // stands in for c; nil: nobody has borrowed the request
}

// Entrust lets r, whose context is c, be borrowed once where nobody but who passes x on, who sends r, and filters between them that keep nothing has it. It must be called before r is sent.
func (c *OutContext) Entrust(r *http.Request, x *Exchange) {
	if x.alone {
		c.request = r
	}
}

// Borrow has the context of r be ctx, which must be below MakerContext(r), and tells false where r may not be borrowed. The first
// attempt to send r may do so; what it leaves behind is not known where there is another one, which must ask for the end of MakerContext(r) therefore.
// The context of r is the borrower's until Return, and so has ended where the attempt has failed, also where another one has succeeded then: who goes on with r afterwards must ask
// for MakerContext(r).
func Borrow(ctx context.Context, r *http.Request) bool {
	c, ok := r.Context().(*OutContext)
	if !ok || c.request != r {
		return false
	}
	c.request, c.borrower = nil, ctx
	return true
}

// Return ends what Borrow has begun, when nobody has r any more to whom it was sent.
func Return(r *http.Request) {
	if c, ok := r.Context().(*OutContext); ok {
		c.borrower = nil
	}
}

// MakerContext is the context that r was made with, which its own is where nobody has borrowed it.
func MakerContext(r *http.Request) context.Context {
	if c, ok := r.Context().(*OutContext); ok {
		return &c.Context
	}
	return r.Context()
}

// Leave is that of what is embedded.
func (c *OutContext) Leave() bool {
	if !c.Context.Leave() {
		return false
	}
	c.request, c.borrower = nil, nil
	return true
}

// Done is the borrower's or the maker's, as are the others (context.Context).
func (c *OutContext) Done() <-chan struct{} {
	if c.borrower != nil {
		return c.borrower.Done()
	}
	return c.Context.Done()
}

// Err tells whether c has ended, and how (context.Context).
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

// Value gives what c bears (context.Context).
func (c *OutContext) Value(key any) any {
	if c.borrower != nil {
		return c.borrower.Value(key)
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

// Of gives the exchange of r. It panics where there is none: code that calls
// it is only ever reached through Begin.
func Of(r *http.Request) *Exchange {
	x := From(r.Context())
	if x == nil {
		panic("exchange.Of: request without an exchange")
	}
	return x
}
