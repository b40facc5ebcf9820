// Package proxy stands between the two shapes of Weir: an http.Handler towards
// the client whose answer comes from a backend, an http.RoundTripper.
//
// It builds the outbound request from parts, never by passing the inbound one on:
// method, normalised path, query, host, the fields that package forward lets through,
// and the body. Content of a known length is waited for before the backend is called, up
// to 64 KiB of it, so that a slow client holds no backend. Beyond that, and where the
// length is not known, both bodies stream at the same time, in pieces as they come. A
// backend that fails after its head was passed on aborts the client's stream, so that a
// cut body never looks whole.
//
//   - proxy.go: one exchange from end to end.
//   - outbound.go: the request to the backend.
//   - body.go: the client's body, with its limit, trailers and end.
//   - ahead.go: what of it is read before the backend is called.
//   - respond.go: the response to the client.
//   - tunnel.go: upgrades.
//   - watch.go: the time-outs.
//   - explain.go: which problem an error is.
package proxy

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/config"
)

// Options make a proxy.
type Options struct {
	Backend http.RoundTripper
	// Host is the Host field that the backend gets. "" keeps the client's own, as the
	// Gateway API demands and virtual hosts behind a gateway expect; a backend
	// outside, as https://api.example.com, needs its own name here.
	Host string
	// Timeouts: Idle is between two pieces of a body, in either direction; Total from
	// here to the last byte. 0: no bound. Upgrades know neither. Connect and Head are
	// the backend's.
	Timeouts config.Timeouts
	// BodyBytes is the largest request body; 0: no bound. A larger one is a 413,
	// before it was read where its length is known.
	BodyBytes int64
	Log       *slog.Logger // nil: slog.Default
}

// New makes the handler. It must be reached through exchange.Begin, after
// forward.Receive has stripped the request's head; guards of others may wrap the
// writer if they offer Unwrap() http.ResponseWriter.
func New(o Options) http.Handler {
	p := &proxy{Options: o}
	if p.Log == nil {
		p.Log = slog.Default()
	}
	return p
}

type proxy struct{ Options }

// passage is one exchange on its way through the proxy.
type passage struct {
	state

	watch watch
	ctx   exchange.OutContext // of the request to the backend
	// out is that request, or the memory of one before. A fresh passage has none until the content that is waited for has come.
	out *exchange.Loan
	// spare is memory for content that has come whole; nil: there is none yet.
	spare *body
}

// state is what a passage is but for what is used again by rules of its own: the request that it makes, timers, and memory for content.
type state struct {
	*proxy

	w        http.ResponseWriter // the outermost writer, which the response is written to
	writer   *exchange.Writer    // the exchange's own below it
	r        *http.Request
	in       exchange.Head // of r
	came     field.Set     // which names there are in it
	exchange *exchange.Exchange
	upgrade  string // the protocol that the backend was asked to switch to
	body     *body  // nil where there is none

	released   bool        // nobody has the request to the backend any more, nor its context, and its memory may be used again
	responding atomic.Bool // the response's head is out
	awaited    atomic.Bool // when a time was up, it was the client's body that was waited for
}

var passages = sync.Pool{New: func() any { return new(passage) }} // reused memory

// end ends the request to the backend. Where nobody can have kept anything of t, that is used again: none of its timers has
// fired, and nobody has waited for the end of its context.
func (t *passage) end() {
	t.ctx.Cancel(nil)
	if !t.released || !t.ctx.Leave() || !t.watch.again() {
		return
	}
	t.exchange.Forgo()
	if t.body != nil {
		t.body.forget()
		t.spare = t.body
	}
	t.state = state{}
	if !poison.On {
		passages.Put(t)
	}
}

// ServeHTTP answers r with what the backend answers.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, _ := passages.Get().(*passage)
	defer t.end()
	t.begin(p, w, r)
	ctx := &t.ctx.Context // whoever borrows the request
	if f := t.refuse(); f != nil {
		t.writer.Fail(f)
		return
	}
	t.watch.start(p.Timeouts, t)
	defer t.close()
	if err := t.takeBody(); err != nil {
		t.fail(t.explain(ctx, err))
		return
	}
	t.outbound()
	res, err := p.Backend.RoundTrip(&t.out.Request)
	if err != nil {
		t.fail(t.explain(ctx, err))
		return
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		t.tunnel(ctx, res)
		return
	}
	t.respond(ctx, res)
}

// begin takes r in.
func (t *passage) begin(p *proxy, w http.ResponseWriter, r *http.Request) {
	t.proxy, t.w, t.writer, t.r, t.in, t.exchange = p, w, exchange.WriterOf(w), r, exchange.RequestHead(r), exchange.Of(r)
	t.came = exchange.KnownIn(t.in)
	t.ctx.Again(r.Context())
}

// fail answers with a problem, where a backend gave no answer that can be passed on.
// A body that has come whole meanwhile is no reason to end the client's connection.
// One that was not asked for yet stays unread: reading it would ask.
func (t *passage) fail(err error) {
	if t.body != nil && t.expects() == "" {
		t.body.finish()
	}
	t.part(t.writer.Head())
	t.writer.Fail(err)
}

// refuse tells why a request cannot be passed on at all.
func (t *passage) refuse() *fault.Fault {
	if t.BodyBytes > 0 && t.r.ContentLength > t.BodyBytes {
		return tooLarge(t.BodyBytes)
	}
	if t.came.Has(field.Via) && forward.Passes(t.in) > forward.MostPasses {
		return fault.LoopDetected.New("")
	}
	if expect := t.expects(); expect != "" && !strings.EqualFold(expect, "100-continue") {
		return fault.ExpectationFail.New("")
	}
	return nil
}

// expects is what the client expects before it sends its content; "" where it does not wait.
func (t *passage) expects() string {
	if !t.came.Has(field.Expect) {
		return ""
	}
	return t.in.Get("Expect")
}

// control is what of the client's connection can be set.
func (t *passage) control() *http.ResponseController { return http.NewResponseController(t.w) }

// expire ends the exchange whose time is up.
func (t *passage) expire(cause error) {
	t.awaited.Store(t.body != nil && t.body.reading.Load())
	t.ctx.Cancel(cause)
	t.unblock()
}

// close ends everything that the exchange has started, in the order that lets
// nobody use the request after the handler has returned.
func (t *passage) close() {
	t.watch.stop()
	if t.body != nil {
		t.body.finish()
	}
}

// unblock wakes whoever waits for the client: reading its body, or, where the
// head is out already and no problem can be told any more, writing to it.
func (t *passage) unblock() {
	if t.body != nil {
		t.body.wake()
	}
	if t.responding.Load() {
		_ = t.control().SetWriteDeadline(past) // a writer that has no deadlines does not block
	}
}
