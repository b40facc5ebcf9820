package runtimeapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// MaxPayload is the largest event and the largest whole answer: 6 MiB, and for
// answers AWS's own 100 bytes of tolerance. Streams have no bound.
const (
	MaxPayload  = 6 << 20
	maxResponse = MaxPayload + 100
)

// StreamType is the content type of a streamed answer with a head of its own.
const streamType = "application/vnd.awslambda.http-integration-response"

// Server is the Runtime API of one instance. It is safe for concurrent use.
//
// It implements HTTP itself, because two exchanges with it are a part of each invocation. An event is written to the
// connection that asks for it by the goroutine that has the event. An answer is read by the goroutine that already
// reads the connection. So no other goroutine has to be woken in between.
type Server struct {
	address  string
	log      *slog.Logger
	listener net.Listener
	served   sync.WaitGroup // goroutines: of the listener, of connections, of large events
	ready    chan struct{}  // closed when the instance is initialised
	full     chan struct{}  // closed when it has asked for as many invocations at once as it may
	gone     chan struct{}  // closed by Abort
	ended    chan struct{}  // closed by Close
	over     sync.Once      // runs the work of Close
	most     int            // how many invocations it may have at once
	about    About
	feed     *telemetryapi.Feed

	extensions extensions

	mu        sync.Mutex
	conns     map[*conn]struct{}
	given     []*Invocation // the instance works on them, or has answered and not asked again yet; oldest first
	asking    []*conn       // waiting requests for an invocation, oldest first
	coming    int           // such requests that will wait in a moment
	waiting   []*waiter     // invocations that wait for such a request, oldest first
	places    int           // how many invocations it has shown that it takes at once
	restored  time.Time     // when it was declared restored from a snapshot; zero for never
	finishing *Invocation   // the instance has asked for another one, and an extension still works on it; nil for none
	isReady   bool
	isEnded   bool              // the instance is no longer usable
	cause     error             // why
	initError *function.Failure // what it reported about its failed start
	broken    *function.Failure // why an extension has failed
	end       func()            // ends the instance; nil until it has begun
}

// waiter is an invocation that waits for the instance to ask for one. asked receives the connection that asks, once the
// invocation counts as given.
type waiter struct {
	invocation *Invocation
	asked      chan *conn
}

// About is what an instance is told about its function.
type About struct {
	Name    string `json:"functionName"`
	Version string `json:"functionVersion"`
	Handler string `json:"handler"`
}

// Listen starts a Runtime API on a free port of the loopback interface. The instance may have up to most invocations at
// once, if it asks for them. feed is told what happens to it. The server closes feed when it is closed itself.
func Listen(log *slog.Logger, about About, most int, feed *telemetryapi.Feed) (*Server, error) {
	const none = -1 // a peer on this machine cannot vanish unnoticed
	listener, err := (&net.ListenConfig{KeepAlive: none}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime API: %w", err)
	}
	s := &Server{
		address: listener.Addr().String(), log: log, listener: listener, conns: map[*conn]struct{}{},
		ready: make(chan struct{}), full: make(chan struct{}), gone: make(chan struct{}), ended: make(chan struct{}),
		most: max(1, most), about: about, feed: feed,
	}
	s.served.Go(s.acceptAll)
	return s, nil
}

// acceptAll serves all incoming connections, until Close.
func (s *Server) acceptAll() {
	for pauses := backoff.New(time.Millisecond, time.Second); ; {
		accepted, err := s.listener.Accept()
		if err == nil {
			pauses.Reset()
			s.adopt(accepted)
			continue
		}
		select { // too many open files, or the end
		case <-s.ended:
			return
		case <-time.After(pauses.Next()):
		}
	}
}

func (s *Server) adopt(accepted net.Conn) {
	c := &conn{server: s, net: accepted}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hasEnded() {
		_ = accepted.Close() // nothing was sent
		return
	}
	s.conns[c] = struct{}{}
	s.served.Go(c.serve)
}

// forget drops a connection that has ended, with its waiting calls.
func (s *Server) forget(c *conn) {
	s.extensions.forget(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.asking = slices.DeleteFunc(s.asking, func(other *conn) bool { return other == c })
}

// Address is the value for AWS_LAMBDA_RUNTIME_API: host and port.
func (s *Server) Address() string { return s.address }

// Ready is closed when the instance has asked for its first invocation.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Full is closed when the instance has asked for as many invocations at once as it may have
// (AWS_LAMBDA_MAX_CONCURRENCY).
func (s *Server) Full() <-chan struct{} { return s.full }

// Places is how many invocations the instance has shown that it takes at once: as many as it has had and asked for at
// one moment.
func (s *Server) Places() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places
}

// InitError is what the instance reported about its failed start, nil for nothing.
func (s *Server) InitError() *function.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initError
}

// Invoke gives an invocation to the instance when the instance asks for one. Its error is ctx's, Abort's, or why the
// server was closed; in these cases the instance has not seen the invocation.
func (s *Server) Invoke(ctx context.Context, i *Invocation) error {
	s.mu.Lock()
	if s.isEnded {
		s.mu.Unlock()
		return s.cause
	}
	if len(s.asking) > 0 {
		c := s.asking[0]
		s.asking = slices.Delete(s.asking, 0, 1)
		s.give(i)
		s.mu.Unlock()
		s.deliver(c, i)
		return nil
	}
	w := &waiter{invocation: i, asked: make(chan *conn, 1)}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	return s.lineUp(ctx, w)
}

// lineUp waits for the call to which w is given.
func (s *Server) lineUp(ctx context.Context, w *waiter) error {
	var reason error
	select {
	case c := <-w.asked:
		s.deliver(c, w.invocation)
		return nil
	case r := <-w.invocation.result: // it was aborted meanwhile
		reason = r.Err
	case <-ctx.Done():
		reason = context.Cause(ctx)
	case <-s.gone:
		reason = s.cause
	}
	if s.leave(w) || w.invocation.isAborted() { // an aborted invocation's instance is ended
		return reason
	}
	s.deliver(<-w.asked, w.invocation) // it was asked for at the same moment
	return nil
}

// leave takes w out of those that wait, and reports whether it was there.
func (s *Server) leave(w *waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.waiting, w)
	if at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	}
	return at >= 0
}

// Abort says that the runtime has ended. cause, a *fault.Fault, becomes the result of each invocation that was not
// answered. Extensions are served until Close.
func (s *Server) Abort(cause error) {
	s.mu.Lock()
	if s.isEnded {
		s.mu.Unlock()
		return
	}
	s.isEnded, s.cause = true, cause
	given := s.given
	if s.finishing != nil {
		given = append(given, s.finishing)
	}
	s.given, s.finishing = nil, nil
	close(s.gone)
	s.mu.Unlock()
	for _, i := range given {
		i.Abort(cause)
		i.told.End(i.cut())
	}
	s.feed.Initialised("Runtime.ExitError") // has no effect if it was ready
}

// Close ends the server because the instance has ended, with the cause of Abort.
func (s *Server) Close(cause error) {
	s.Abort(cause)
	s.over.Do(func() {
		close(s.ended)
		_ = s.listener.Close() // its process is gone, and so are its connections
		s.mu.Lock()
		conns := slices.Collect(maps.Keys(s.conns))
		s.mu.Unlock()
		for _, c := range conns {
			_ = c.net.Close()
		}
		s.served.Wait()
		s.feed.Close()
	})
}

func (s *Server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// answer answers a call, or has another goroutine answer it.
func (s *Server) answer(c *call) {
	switch {
	case !c.here: // a web page whose host name leads here
		c.refuse(http.StatusForbidden, "InvalidHost", "this is the Runtime API of a local function")
	case c.endpoint == nil:
		c.refuse(http.StatusNotFound, "InvalidPath", "the Runtime API has no such path")
	case c.method != c.endpoint.method:
		c.json(http.StatusMethodNotAllowed, functionError{"InvalidMethod", "the path is for " + c.endpoint.method}, "Allow: "+c.endpoint.method)
	default:
		c.endpoint.answer(s, c)
	}
}

// next ends the oldest answered invocation of the instance, and has the connection wait for another one.
func (s *Server) next(c *call) {
	last, ok := s.ask()
	if !ok {
		c.refuse(http.StatusForbidden, "InvalidStateTransition", "the last invocation has not been answered")
		return
	}
	if last != nil {
		s.finish(last)
	}
	if w := s.line(c.conn); w != nil {
		w.asked <- c.conn // has room for it
	}
}

// finish ends an invocation that the runtime is done with, as soon as the extensions are done too.
func (s *Server) finish(i *Invocation) {
	if i.told != nil { // an extension may wait for this before it is done
		s.feed.Drain()
		i.told.Done(i.cut())
	}
	if s.most == 1 && s.extensions.any() {
		s.mu.Lock()
		s.finishing = i
		s.mu.Unlock()
		if s.extensions.whenFree(func() { s.settle(i) }) {
			return
		}
	}
	s.settle(i)
}

// settle frees the instance.
func (s *Server) settle(i *Invocation) {
	s.mu.Lock()
	if s.finishing == i {
		s.finishing = nil
	}
	s.mu.Unlock()
	i.told.End(i.cut()) // before another one begins
	i.settle()
}

// ask records that the instance asks for an invocation. last is the invocation that ends by this; ok is false if the
// instance already has as many as it may.
func (s *Server) ask() (last *Invocation, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.IndexFunc(s.given, (*Invocation).isClaimed); at >= 0 {
		last = s.given[at]
		s.given = slices.Delete(s.given, at, at+1)
	} else if len(s.given) >= s.most {
		return nil, false
	}
	s.coming++
	if places := min(s.coming+len(s.asking)+len(s.given), s.most); places > s.places {
		s.places = places
		if places == s.most {
			close(s.full)
		}
	}
	if !s.isReady {
		s.isReady = true
		close(s.ready)
		s.feed.Initialised("")
		if !s.restored.IsZero() {
			s.feed.Restored("", time.Since(s.restored))
		}
	}
	return last, true
}

// line returns the invocation that has waited longest for the instance to ask, if there is one. Otherwise it puts c in
// line.
func (s *Server) line(c *conn) *waiter {
	c.putOff()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming--
	if len(s.waiting) == 0 {
		s.asking = append(s.asking, c)
		return nil
	}
	w := s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.give(w.invocation)
	return w
}

// give records that the instance gets i. The caller has locked mu.
func (s *Server) give(i *Invocation) {
	i.told = s.feed.Begin(i.ID, i.Trace)
	s.given = append(s.given, i)
}

// deliver writes an event to the connection that has asked for it.
func (s *Server) deliver(c *conn, i *Invocation) {
	if s.extensions.any() {
		s.extensions.tell(extensionEvent{
			Type: invokeEvent, Deadline: i.Deadline.UnixMilli(), ID: i.ID, ARN: i.ARN, Tracing: &tracing{"X-Amzn-Trace-Id", i.Trace},
		}, anybody)
	}
	if len(i.Event) <= mostKept {
		c.deliver(i)
		return
	}
	s.mu.Lock() // the instance may read it slowly, and the client may leave meanwhile
	defer s.mu.Unlock()
	if !s.isEnded {
		s.served.Go(func() { c.deliver(i) })
	}
}

// claim finds the invocation that c is about and takes the duty to answer it. If it returns nil, it has answered c
// itself.
func (s *Server) claim(c *call) *Invocation {
	i := s.byID(c.id)
	switch {
	case i == nil:
		c.refuse(http.StatusBadRequest, "InvalidRequestID", "there is no such invocation")
		return nil
	case !i.claim():
		c.refuse(http.StatusForbidden, "InvalidStateTransition", "the invocation has been answered already")
		return nil
	}
	return i
}

// byID returns the instance's invocation with this id, or nil.
func (s *Server) byID(id string) *Invocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.given {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// response handles an answer, whole or as a stream.
func (s *Server) response(c *call) {
	i := s.claim(c)
	switch {
	case i == nil:
	case c.fields.responseMode == "streaming" || c.fields.contentType == streamType:
		s.passOn(c, i)
	default:
		s.take(c, i)
	}
}

// take reads a whole answer. An error may still follow it as a trailer.
func (s *Server) take(c *call, i *Invocation) {
	payload, err := c.readAll(maxResponse)
	switch {
	case err != nil:
		i.send(Result{Err: i.broken(err)})
		return
	case len(payload) > maxResponse:
		_, _ = io.CopyN(io.Discard, &c.content, maxResponse) // so that the refusal is read and not lost in a reset
		i.send(Result{Err: fault.FunctionBadResponse.New("", fault.Cause(&function.Failure{
			Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("the answer is larger than %d bytes", MaxPayload),
		}))})
		c.refuse(http.StatusRequestEntityTooLarge, "Function.ResponseSizeTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxResponse))
		return
	}
	result := Result{Payload: payload, ContentType: c.fields.contentType, Err: c.trailerError()}
	i.Answered()
	i.send(result)
	c.accept()
}

// passOn lets the client's side read the answer while it arrives.
func (s *Server) passOn(c *call, i *Invocation) {
	body := &stream{invocation: i, call: c, finished: make(chan struct{})}
	i.send(Result{Stream: body, ContentType: c.fields.contentType})
	select {
	case <-body.finished:
	case <-s.ended:
		return
	}
	if body.rest() { // what a client that left did not read
		c.accept()
	}
}

// failure handles the function's error, sent instead of an answer.
func (s *Server) failure(c *call) {
	if i := s.claim(c); i != nil {
		said := c.readError()
		i.Answered()
		i.send(Result{Err: failed(said)})
		c.accept()
	}
}

// initFailure handles the reason why the instance cannot start. The instance ends by itself.
func (s *Server) initFailure(c *call) {
	said := c.readError()
	s.mu.Lock()
	late := s.isReady
	if !late {
		s.initError = said
	}
	s.mu.Unlock()
	if late {
		c.refuse(http.StatusForbidden, "InvalidStateTransition", "the function is initialised")
		return
	}
	s.feed.Initialised(cmp.Or(said.Type, "Runtime.Unknown"))
	c.accept()
}
