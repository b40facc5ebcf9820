package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
)

// Conn is a client's connection that a Server serves. An idle connection consists of nothing else: buffers, request and
// response belong to a turn, which is lent to the connection while something comes or goes.
type Conn struct {
	server    *Server
	net       net.Conn
	socket    syscall.RawConn      // below net; nil: it cannot be asked whether the client has left
	bare      bare                 // net; nil: its socket is never used directly
	tls       *tls.ConnectionState // nil: none
	ctx       context.Context      //nolint:containedctx // of all requests; made for the first one
	peer      string               // the client's address; made for the first request
	firstHead int64                // when the first head must be complete, on the server's clock; 0: never
	seen      int64                // the resting or inLines state that the sweep saw last; guarded by server.mu
	fd        int32                // of its socket, while it is parked; guarded by server.mu
	lingers   bool                 // what is still read is thrown away
	swallows  int                  // how many more bytes are thrown away
	one       [1]byte              // the first byte of an awaited head, or what came while a request was answered

	state  atomic.Int64 // what it waits for, and until when; see sweep.go
	hurry  atomic.Int64 // an earlier deadline for awaited heads, see Hurry; 0: none
	served atomic.Bool  // a request has been read
	// What has arrived of a head whose rest is awaited without a turn; nil: nothing.
	partial atomic.Pointer[partial]
	told    atomic.Bool // Slow was called, or must not be
	fault   atomic.Pointer[fault.Fault]

	mu          sync.Mutex               // guards what follows
	interrupted int64                    // the state that the sweep has ended; 0: none
	outer       time.Time                // the read deadline that the handler asked for
	bounded     bool                     // the handler has set a deadline
	came        bool                     // the watch has read a byte
	current     *exchange.RequestContext // of the request that is being answered; nil: none
	watched     chan struct{}            // closed when the watch has ended; nil: no watch
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// serve answers requests until the connection ends or rests.
func (c *Conn) serve(t *turn) {
	for answered := 1; ; answered++ {
		end, after := c.receive(t)
		if after == goesOn {
			if answered%looksAfter == 0 {
				c.server.cohort.look()
			}
			after = c.answer(t, end)
		}
		switch {
		case after == goesOn && t.unsent != nil:
			continue
		case after == goesOn && !c.server.retired.Load():
			joinCohort()
			continue
		case after == goesOn:
			after = ends
		}
		c.part(t, after)
		return
	}
}

// part ends c's use of a turn, and does with c what after says.
func (c *Conn) part(t *turn, after after) {
	if after != isTaken {
		c.server.lendAgain(t)
	}
	switch after {
	case rests:
		c.server.rest(c)
	case ends:
		c.close()
	case lingers:
		c.linger()
	case goesOn, isTaken:
	}
}

// after says what happens to a connection next.
type after uint8

const (
	goesOn  after = iota
	ends          // it is closed
	lingers       // it is closed after the client has had a moment to read
	rests         // it waits without a turn: parked, or on another stack
	isTaken       // it belongs to a handler or net/http, with what was read
)

// receive receives until t.in begins with a complete head, and returns the head's length.
func (c *Conn) receive(t *turn) (int, after) {
	blank, resumed := c.takeUp(t)
	s := search{late: resumed}
	for {
		b := t.in.b
		if !blank && s.scan == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' { // RFC 9112 section 2.2
			blank = true
			t.in.skip(2)
			continue
		}
		end, reason := 0, OK
		switch {
		case c.mayBePreface(b, blank):
			if len(b) >= len(preface) {
				return 0, c.handOver(t)
			}
		case len(b) > 0 && string(b) != "\r":
			if s.scan == 0 {
				reason = checkFirst(b)
			}
			if reason == OK {
				end, reason = t.findHead(&s, c.server.options.Limits)
			}
		}
		if reason == OK && end == 0 {
			reason = s.tooLarge(len(b), c.server.options.Limits)
		}
		if reason != OK {
			return 0, c.refuse(t, reason.Fault())
		}
		if end > 0 {
			return end, goesOn
		}
		if after := c.receiveMore(t, blank); after != goesOn {
			return 0, after
		}
	}
}

// findHead parses the head that t.in begins with and returns its length; 0 while it is incomplete. Nearly every head
// comes in one piece, and is looked at once. For other heads the end is searched for first, so that each byte is looked
// at once even if a client sends single bytes. A head with several faults may be refused for another of them if it
// comes in pieces.
func (t *turn) findHead(s *search, limits Limits) (end int, reason Reason) {
	b := t.in.b
	var h Head
	if !s.late {
		s.late = len(b) > 1 // the first byte on a connection that has rested comes alone
		end, reason = h.parse(b[:min(len(b), limits.HeadBytes)], limits, t.gathers())
	}
	if end == 0 && reason == OK {
		if end, reason = s.end(b, limits); end > 0 && reason == OK {
			reason = h.parseAll(b[:end], limits, t.gathers())
		}
	}
	t.framed = framedOf(&h)
	return end, reason
}

// framedOf returns what must be kept of a head to read the request.
func framedOf(h *Head) framed {
	return framed{method: len(h.Method), target: len(h.Target), minor: h.Minor, framing: h.Framing, rewrites: h.Rewrites(), length: h.Length}
}

// mayBePreface reports whether b, the first bytes of the connection, are the HTTP/2 preface or may yet become it.
func (c *Conn) mayBePreface(b []byte, blank bool) bool {
	if !c.server.options.H2C || c.server.options.Preface == nil || c.served.Load() || blank || len(b) == 0 {
		return false
	}
	n := min(len(b), len(preface))
	return string(b[:n]) == preface[:n]
}

// handOver passes a connection that speaks HTTP/2 to Preface.
func (c *Conn) handOver(t *turn) after {
	early := slices.Clone(t.in.b)
	c.server.lendAgain(t)
	c.expect(nothing, 0)
	c.server.forget(c)
	var firstHead time.Time
	if c.firstHead > 0 {
		firstHead = c.server.start.Add(time.Duration(c.firstHead))
	}
	c.server.options.Preface(c.net, early, firstHead)
	return isTaken
}

// headBegins records that a head is awaited, for which the sweep sets the deadline, or that a head has begun.
func (c *Conn) headBegins(t *turn) {
	if len(t.in.b) == 0 {
		c.expect(idle, 0)
		return
	}
	t.begun = c.server.now()
	due := int64(0)
	if c.server.options.HeadTime > 0 {
		due = t.begun + int64(c.server.options.HeadTime)
	}
	if !c.served.Load() && c.firstHead > 0 && (due == 0 || c.firstHead < due) {
		due = c.firstHead
	}
	c.expect(inLines, due)
}

// receiveMore reads more of a head. blank says whether an empty line came before it.
func (c *Conn) receiveMore(t *turn, blank bool) after {
	if len(t.in.b) > 0 && t.in.drained && c.tls == nil && c.parks() { // TLS may hold more than one read returned
		c.setAside(t, blank)
		return rests
	}
	if t.unsent != nil {
		return c.sendThenReceive(t)
	}
	for {
		if c.server.retired.Load() && len(t.in.b) == 0 {
			return ends
		}
		had := len(t.in.b)
		n, err := t.in.fill(c.net)
		if n > 0 {
			if had == 0 && !blank {
				c.headBegins(t)
			}
			return goesOn
		}
		phase, woken := c.woken(err)
		switch {
		case woken && phase == wentOn:
		case woken && phase == idle:
			if _, due := c.awaits(); due > c.server.now() {
				c.expect(resting, due)
				return rests
			}
			return ends
		case woken && !c.isLate():
			c.setAside(t, blank)
			return rests
		case woken:
			c.slow(HeadIncomplete)
			if len(t.in.b) == 0 {
				return ends
			}
			return c.refuse(t, HeadIncomplete.Fault())
		default:
			return ends // the client has left
		}
	}
}

// answer has the handler answer the request whose head is the first end bytes of t.in.
func (c *Conn) answer(t *turn, end int) after {
	c.readHead(t, end)
	return c.handle(t)
}

// readHead makes a request from the first end bytes of t.in.
func (c *Conn) readHead(t *turn, end int) {
	b := t.in.b[:end]
	if t.framed.rewrites {
		var h Head
		h.parse(b, c.server.options.Limits, t.gathers()) // again, as a turn keeps no Head
		b = h.Rewrite(b)
		h.parse(b, c.server.options.Limits, t.gathers())
		t.framed = framedOf(&h)
	}
	c.served.Store(true)
	t.in.skip(end)
	t.read(c, b) // nothing is written to b before all of it was read
}

// refuse has the handler answer what cannot be read. No request is read after that.
func (c *Conn) refuse(t *turn, f *fault.Fault) after {
	c.fault.Store(f)
	t.in.b = t.in.b[:0]
	t.framed = framed{method: len("GET"), target: len("*"), minor: 1}
	t.gathers().begin()
	for name, value := range Fields(refusal[bytes.IndexByte(refusal, '\n')+1:]) {
		t.gather.add(field.Know(name), name, value)
	}
	t.read(c, refusal)
	if after := c.handle(t); after == isTaken {
		return after
	}
	return lingers
}

// handle calls the handler and completes its response.
func (c *Conn) handle(t *turn) after {
	ctx := t.ctx
	if ctx == nil {
		ctx = new(exchange.RequestContext) // which the handler may keep
	}
	ctx.Again(c.context())
	defer ctx.Cancel(nil)
	c.mu.Lock()
	c.current = ctx
	c.mu.Unlock()
	if t.body == nil {
		c.readWhole(t.begun) // t.begun saves a look at the clock: most heads come whole
	} else {
		c.expect(nothing, 0)
	}
	w := t.response
	r := t.request
	if c.server.options.Lines {
		ctx.Heads(t.head, t.heads)
		if t.ctx != ctx {
			t.ctx = ctx
			exchange.SetContext(ctx, r)
		}
	} else {
		r = r.WithContext(ctx) // which the handler may keep
	}
	aborted := c.call(w, r)
	return c.complete(t, w, aborted)
}

// context returns the context of all requests on c.
func (c *Conn) context() context.Context {
	if c.ctx == nil {
		c.ctx = context.WithValue(context.Background(), http.LocalAddrContextKey, c.net.LocalAddr())
		if more := c.server.options.Context; more != nil {
			c.ctx = more(c.ctx, c)
		}
	}
	return c.ctx
}

// readWhole records that the request has arrived completely, not long after at. From now on the sweep checks whether
// the client has left.
func (c *Conn) readWhole(at int64) { c.expect(answering, at+int64(patience)) }

// call calls the handler and reports whether it panicked.
func (c *Conn) call(w *response, r *http.Request) (aborted bool) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		aborted = true
		if cause != http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http compares it
			c.server.options.Log.Error("panic in a handler", "peer", c.net.RemoteAddr(), "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	c.server.options.Handler.ServeHTTP(w, r)
	return false
}

// complete sends the rest of a response and prepares the connection for another request.
func (c *Conn) complete(t *turn, w *response, aborted bool) after {
	if w.hijacked {
		return isTaken
	}
	if aborted {
		w.give()
		c.endBody(t)
		c.unwatch(t)
		return ends
	}
	unread := c.endBody(t)
	w.ends = w.ends || unread == tooMuch
	w.finish()
	if unread == none && c.mayPost(t, w) {
		w.give()
		t.unsent = w.out
		return goesOn
	}
	joinCohort()
	err := w.send()
	w.give()
	c.unwatch(t)
	c.unbound()
	switch {
	case err != nil:
		return ends
	case w.ends && (unread != none || c.Fault() != nil):
		return lingers
	case w.ends:
		return ends
	case unread == some:
		return c.drain(t)
	default:
		return goesOn
	}
}

// unbound removes the deadlines that a handler has set.
func (c *Conn) unbound() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	if c.bounded {
		c.bounded, c.outer, c.interrupted = false, time.Time{}, 0
		_ = c.net.SetDeadline(time.Time{}) // if the connection is closed, its reader finds out
	}
}

// setReadDeadline sets a handler's deadline.
func (c *Conn) setReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outer, c.bounded, c.interrupted = t, true, 0
	return c.net.SetReadDeadline(t)
}

func (c *Conn) setWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bounded = true
	return c.net.SetWriteDeadline(t)
}

// leave cancels the context of the request that is being answered.
func (c *Conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.Cancel(nil)
	}
}

// remote returns the client's address as requests carry it.
func (c *Conn) remote() string {
	if c.peer == "" {
		c.peer = c.net.RemoteAddr().String()
	}
	return c.peer
}

func (c *Conn) close() {
	c.expect(nothing, 0)
	c.server.forget(c)
	_ = c.net.Close() // nothing is under way on it
}

// timedOut reports whether a read or write has exceeded its deadline.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
