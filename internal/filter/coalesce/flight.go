package coalesce

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// flight is one call to the backend. It is independent of the request that started it: it ends when its response is
// complete, or when no request wants it any more.
type flight struct {
	of      *coalescer
	key     string
	asked   *http.Request // the request that started the call, as it arrived
	request *http.Request // what the backend gets; both are detached from the client's request
	cancel  context.CancelFunc

	mu      sync.Mutex
	wanted  int   // how many requests still want the response
	waiters int   // how many requests have joined the first one
	open    bool  // more requests may join
	kept    int64 // bytes counted in coalescer.held
	left    bool  // the first request has gone before taking the response
	ready   bool  // res, err and record are set

	headed chan struct{} // closed when there is a head or an error
	res    *http.Response
	err    error
	rules  rules
	record *record // of the body; nil if only the first request gets it

	settled chan struct{} // closed when body or failed are set, or it is known that no other request gets anything
	body    []byte
	whole   bool  // body is complete
	failed  error // why body will never be complete
}

// join adds a waiting request, and tells whether there was room for it.
func (f *flight) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.open || f.waiters >= mostWaiters || f.wanted == 0 {
		return false
	}
	f.waiters++
	f.wanted++
	return true
}

// leave removes a request that no longer wants the response; the last one ends the call.
func (f *flight) leave() {
	f.mu.Lock()
	f.wanted--
	last := f.wanted == 0
	if last {
		f.release()
	}
	f.mu.Unlock()
	if last {
		f.of.forget(f)
		f.cancel()
	}
}

// release gives back the room for the body; f must be locked.
func (f *flight) release() {
	f.of.held.Add(-f.kept)
	f.kept = 0
}

// run asks the backend, and reads the body if other requests wait for it.
func (f *flight) run(next http.RoundTripper) {
	defer close(f.settled)
	f.res, f.err = f.ask(next)
	f.of.forget(f)
	f.mu.Lock()
	f.open = false
	others := f.waiters > 0
	f.mu.Unlock()
	if f.err == nil && others {
		f.rules = rulesOf(f.res)
		if !f.rules.none && (f.res.ContentLength <= int64(f.of.config.Body) || f.request.Method == http.MethodHead) {
			f.record = newRecord(&guarded{f.res.Body, f})
		}
	}
	record := f.record
	f.mu.Lock()
	f.ready = true
	left := f.left
	f.mu.Unlock()
	close(f.headed)
	if left {
		f.discard()
	}
	if record == nil {
		return
	}
	kept := record.take(int64(f.of.config.Body), &f.of.held)
	f.body, f.whole, f.failed = record.kept()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept = kept; f.wanted == 0 || !f.whole {
		f.release()
	}
}

// desert is called if the first request goes before taking the response. The response must then be closed by desert or
// run, whichever comes last.
func (f *flight) desert() {
	f.mu.Lock()
	f.left = true
	ready := f.ready
	f.mu.Unlock()
	if ready {
		f.discard()
	}
	f.leave()
}

// discard closes the response in place of the first request. A record is read to its end while others wait for it.
func (f *flight) discard() {
	switch {
	case f.err != nil:
	case f.record != nil:
		_ = (&playback{record: f.record}).Close() // it is not read
	default:
		_ = f.res.Body.Close() // as above
	}
}

// lost returns why the response will never be complete, nil if it is complete or r does not get it.
func (f *flight) lost(r *http.Request) error {
	select {
	case <-f.settled:
	default:
		return nil // r may not have it, and has not waited
	}
	if f.failed == nil || !f.rules.allow(f.asked, r) {
		return nil
	}
	return fault.BackendReset.New("", fault.Internal("the response that this request waited for broke off"), fault.Cause(f.failed))
}

// answer makes the response to r, with a head of its own.
func (f *flight) answer(r *http.Request, body io.ReadCloser) *http.Response {
	own := exchange.NewResponse(r, f.res.StatusCode)
	own.Status, own.Body, own.ContentLength = f.res.Status, body, f.res.ContentLength
	exchange.CopyAll(exchange.ResponseHead(own), exchange.ResponseHead(f.res))
	return own
}

// ask calls the backend. A panic there is an error of this call only: it does not run on a handler's goroutine.
func (f *flight) ask(next http.RoundTripper) (res *http.Response, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			res, err = nil, f.panicked(cause)
		}
	}()
	return next.RoundTrip(f.request) //nolint:wrapcheck // it is only handed through
}

func (f *flight) panicked(cause any) error {
	f.of.log.Error("panic in a backend", "route", f.of.route, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	return fault.Unexpected.New("", fault.Internal("panic: %v", cause))
}

// guarded is a body whose panics are also errors of this call only.
type guarded struct {
	io.ReadCloser

	flight *flight
}

// Read implements io.Reader.
func (g *guarded) Read(b []byte) (n int, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			n, err = 0, g.flight.panicked(cause)
		}
	}()
	return g.ReadCloser.Read(b) //nolint:wrapcheck // the body's own
}

// told adds to the exchange of r what the call has recorded.
func (f *flight) told(r *http.Request, attempts bool) {
	x, own := exchange.Of(r), exchange.Of(f.request)
	x.Backend = own.Backend
	if attempts {
		x.Attempts = append(x.Attempts, own.Attempts...)
	}
}

// first returns the response for the first request, as a stream.
func (f *flight) first(r *http.Request) (*http.Response, error) {
	select {
	case <-f.headed:
	case <-r.Context().Done():
		f.desert()
		return nil, context.Cause(r.Context())
	}
	f.told(r, true)
	if f.err != nil {
		f.leave()
		return nil, f.err
	}
	over := sync.OnceFunc(f.leave)
	stop := context.AfterFunc(r.Context(), over) // the call itself is detached from this context
	end := func() { stop(); over() }
	if f.record != nil {
		return f.answer(r, &closing{&playback{record: f.record, ctx: r.Context()}, end}), nil
	}
	f.res.Request, f.res.Body = r, &closing{f.res.Body, end} // no other request has it
	return f.res, nil
}

// closing calls over when it is closed.
type closing struct {
	io.ReadCloser

	over func()
}

// Close implements io.Closer.
func (c *closing) Close() error {
	defer c.over()
	return c.ReadCloser.Close() //nolint:wrapcheck // the body's own
}
