// Package proxy joins the two shapes of Weir: an http.Handler towards the client,
// whose answer comes from a backend, an http.RoundTripper.
//
// It never passes the inbound request on. It builds the outbound request from its
// parts: method, normalised path, query, host, the fields that package forward lets
// through, and the body. If the length of the content is known, the proxy waits for up
// to 64 KiB of it before it calls the backend, so that a slow client holds no backend.
// Content beyond that, and content of unknown length, is streamed: both bodies stream at
// the same time, piece by piece as they come. If a backend fails after its head was
// passed on, the proxy aborts the client's stream, so that a truncated body never looks
// complete.
//
//   - proxy.go: one exchange from end to end.
//   - outbound.go: the request to the backend.
//   - body.go: the client's body, with its limit, trailers and end.
//   - ahead.go: what is read of the body before the backend is called.
//   - respond.go: the response to the client.
//   - tunnel.go: upgrades.
//   - watch.go: the timeouts.
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

// Options configure a proxy.
type Options struct {
	Backend http.RoundTripper
	// Host is the Host field that the backend gets. "" keeps the client's own, as the
	// Gateway API demands and as virtual hosts behind a gateway expect. An external
	// backend, such as https://api.example.com, needs its own name here.
	Host string
	// Timeouts: Idle bounds the time between two pieces of a body, in either direction;
	// Total bounds the time from the call of the handler to the last byte. 0 means no
	// bound. Neither applies to upgrades. Connect and Head are for the backend to apply.
	Timeouts config.Timeouts
	// BodyBytes is the largest request body; 0 means no bound. The answer to a larger body
	// is a 413, before the body is read if its length is known.
	BodyBytes int64
	// Withheld is what the backend is not told about the client.
	Withheld forward.Withheld
	Log      *slog.Logger // nil: slog.Default
}

// New makes the handler. Requests must reach it through exchange.Begin, after
// forward.Receive has stripped the request's head. Other packages' guards may wrap the
// writer if they offer Unwrap() http.ResponseWriter.
func New(o Options) http.Handler {
	p := &proxy{Options: o}
	if p.Log == nil {
		p.Log = slog.Default()
	}
	return p
}

type proxy struct{ Options }

// passage is one exchange on its way through the proxy. Passages are reused.
type passage struct {
	state

	watch watch
	ctx   exchange.OutContext // of the request to the backend
	// out is that request, or a previous request whose memory is reused. A new passage has
	// no out until the content that the proxy waits for has come.
	out *exchange.Loan
	// spare is memory for content that has come in full; nil if there is none yet.
	spare *body
}

// state is the part of a passage that is reset for each exchange. The rest has its own
// rules for reuse: the request to the backend, timers, and memory for content.
type state struct {
	*proxy

	w        http.ResponseWriter // the outermost writer, to which the response is written
	writer   *exchange.Writer    // the exchange's own writer, below w
	r        *http.Request
	in       exchange.Head // the head of r
	came     field.Set     // which known field names it has
	exchange *exchange.Exchange
	upgrade  string // the protocol that the backend was asked to switch to
	body     *body  // nil if there is none

	released   bool        // nobody else holds the request to the backend or its context; the memory may be reused
	responding atomic.Bool // the response's head was sent
	awaited    atomic.Bool // when a timeout fired, the proxy was waiting for the client's body
}

var passages = sync.Pool{New: func() any { return new(passage) }} // reused memory

// end ends the request to the backend. It puts t back into the pool if nobody can have
// kept any part of t, none of its timers has fired, and nobody has waited for the end of
// its context.
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

// ServeHTTP answers r with the backend's answer.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, _ := passages.Get().(*passage)
	defer t.end()
	t.begin(p, w, r)
	ctx := &t.ctx.Context // for a transport that borrows the request
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

// begin initialises t for r.
func (t *passage) begin(p *proxy, w http.ResponseWriter, r *http.Request) {
	t.proxy, t.w, t.writer, t.r, t.in, t.exchange = p, w, exchange.WriterOf(w), r, exchange.RequestHead(r), exchange.Of(r)
	t.came = exchange.KnownIn(t.in)
	t.ctx.Again(r.Context())
}

// fail answers with a problem if a backend gave no answer that can be passed on. If the
// body has come in full meanwhile, there is no reason to end the client's connection.
// A body that was not asked for yet stays unread, because reading it would ask for it.
func (t *passage) fail(err error) {
	if t.body != nil && t.expects() == "" {
		t.body.finish()
	}
	t.part(t.writer.Head())
	t.writer.Fail(err)
}

// refuse returns the reason why a request cannot be passed on at all.
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

// expects returns what the client expects before it sends its content; "" if it does
// not wait.
func (t *passage) expects() string {
	if !t.came.Has(field.Expect) {
		return ""
	}
	return t.in.Get("Expect")
}

// control returns the controller of the client's connection.
func (t *passage) control() *http.ResponseController { return http.NewResponseController(t.w) }

// expire ends the exchange because its time is up.
func (t *passage) expire(cause error) {
	t.awaited.Store(t.body != nil && t.body.reading.Load())
	t.ctx.Cancel(cause)
	t.unblock()
}

// close stops everything that the exchange has started, in an order that ensures that
// nothing uses the request after the handler has returned.
func (t *passage) close() {
	t.watch.stop()
	if t.body != nil {
		t.body.finish()
	}
}

// unblock wakes a goroutine that waits for the client. It ends a read of the client's
// body. If the response's head is out, and so no problem can be reported any more, it
// also ends a write to the client.
func (t *passage) unblock() {
	if t.body != nil {
		t.body.wake()
	}
	if t.responding.Load() {
		_ = t.control().SetWriteDeadline(past) // a writer that has no deadlines does not block
	}
}
