package runtimeapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

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
type Server struct {
	address string
	http    *http.Server
	served  chan struct{} // closed when Serve has returned
	handoff chan *Invocation
	ready   chan struct{} // closed when the instance is initialised
	full    chan struct{} // closed when it has asked for as many invocations at once as it may
	ended   chan struct{} // closed by Close
	most    int           // how many it may have at once
	about   About
	feed    *telemetryapi.Feed

	extensions extensions

	mu        sync.Mutex
	given     []*Invocation // the instance works on them, or has answered and not come back yet; oldest first
	asking    int           // how many questions for an invocation wait
	places    int           // how many invocations it has shown to take at once
	isReady   bool
	isEnded   bool
	cause     error             // why it ended
	initError *function.Failure // what it said about its failed start
}

const (
	headTimeout = 10 * time.Second
	// maxHeadBytes leaves room for X-Ray's cause of an error, up to 1 MB.
	maxHeadBytes = 2 << 20
)

// About is what an instance is told of its function.
type About struct {
	Name    string `json:"functionName"`
	Version string `json:"functionVersion"`
	Handler string `json:"handler"`
}

// Listen starts a Runtime API on a free port of the loopback interface. The
// instance may have up to most invocations at once, if it asks for them. What happens
// to it is told to feed, which the server closes with itself.
func Listen(log *slog.Logger, about About, most int, feed *telemetryapi.Feed) (*Server, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime API: %w", err)
	}
	s := &Server{
		address: listener.Addr().String(), served: make(chan struct{}),
		handoff: make(chan *Invocation), ready: make(chan struct{}), full: make(chan struct{}), ended: make(chan struct{}),
		most: max(1, most), about: about, feed: feed,
	}
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: headTimeout, MaxHeaderBytes: maxHeadBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // ends by Close only
	}()
	return s, nil
}

// Address is what AWS_LAMBDA_RUNTIME_API must say: host and port.
func (s *Server) Address() string { return s.address }

// Ready is closed when the instance has asked for its first invocation.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Full is closed when the instance has asked for as many invocations at once as
// it may have, in the terms of AWS_LAMBDA_MAX_CONCURRENCY.
func (s *Server) Full() <-chan struct{} { return s.full }

// Places is how many invocations the instance has shown to take at once: as many
// as it has had and asked for at one moment.
func (s *Server) Places() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places
}

// InitError is what the instance said about its failed start, nil for nothing.
func (s *Server) InitError() *function.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initError
}

// Invoke hands an invocation to the instance when that asks for one. Its error
// is ctx's, Abort's, or why the server was closed; the instance has not seen
// the invocation then.
func (s *Server) Invoke(ctx context.Context, i *Invocation) error {
	select {
	case s.handoff <- i:
		return nil
	case r := <-i.result: // it was aborted meanwhile
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return s.cause
	}
}

// Close ends the server because the instance has ended; cause, a *fault.Fault,
// becomes the result of an invocation that was not answered.
func (s *Server) Close(cause error) {
	s.mu.Lock()
	if s.isEnded {
		s.mu.Unlock()
		return
	}
	s.isEnded, s.cause = true, cause
	given := s.given
	s.given = nil
	s.mu.Unlock()
	for _, i := range given {
		i.Abort(cause)
		i.told.End(i.cut())
	}
	s.feed.Initialised("Runtime.ExitError") // nothing new where it was ready
	close(s.ended)
	_ = s.http.Close() // closes connections of a process that is gone
	<-s.served
	s.feed.Close()
}

func (s *Server) routes() http.Handler {
	const base = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+"/invocation/next", s.next)
	mux.HandleFunc("POST "+base+"/invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+base+"/invocation/{id}/error", s.failure)
	mux.HandleFunc("POST "+base+"/init/error", s.initFailure)
	s.extensionRoutes(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != s.address { // a web page that was led here by its name
			refuse(w, http.StatusForbidden, "InvalidHost", "this is the Runtime API of a local function")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// next ends an invocation of the instance that was answered, the oldest one, and
// waits for another one.
func (s *Server) next(w http.ResponseWriter, r *http.Request) {
	last, ok := s.ask()
	if !ok {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the last invocation has not been answered")
		return
	}
	if last != nil {
		last.settle()
		if last.told != nil { // and before the next one begins
			s.feed.Drain()
			last.told.End(last.cut())
		}
	}
	select {
	case i := <-s.handoff:
		s.deliver(w, i)
	case <-r.Context().Done(): // it will ask again
		s.stopAsking()
	case <-s.ended:
	}
}

// ask notes that the instance asks for an invocation. last is the one that ends
// by it; ok is false where the instance has as many as it may.
func (s *Server) ask() (last *Invocation, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.IndexFunc(s.given, (*Invocation).isClaimed); at >= 0 {
		last = s.given[at]
		s.given = slices.Delete(s.given, at, at+1)
	} else if len(s.given) >= s.most {
		return nil, false
	}
	s.asking++
	if places := min(s.asking+len(s.given), s.most); places > s.places {
		s.places = places
		if places == s.most {
			close(s.full)
		}
	}
	if !s.isReady {
		s.isReady = true
		close(s.ready)
		s.feed.Initialised("")
	}
	return last, true
}

func (s *Server) stopAsking() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking--
}

func (s *Server) deliver(w http.ResponseWriter, i *Invocation) {
	i.told = s.feed.Begin(i.ID, i.Trace)
	s.mu.Lock()
	s.asking--
	ended := s.isEnded
	if !ended {
		s.given = append(s.given, i)
	}
	s.mu.Unlock()
	if ended {
		i.Abort(s.cause)
		return
	}
	s.extensions.tell(extensionEvent{
		Type: invokeEvent, Deadline: i.Deadline.UnixMilli(), ID: i.ID, ARN: i.ARN, Tracing: &tracing{"X-Amzn-Trace-Id", i.Trace},
	})
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(i.Event)))
	h.Set("Lambda-Runtime-Aws-Request-Id", i.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.Deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", i.ARN)
	h.Set("Lambda-Runtime-Trace-Id", i.Trace)
	if i.Client != "" {
		h.Set("Lambda-Runtime-Client-Context", i.Client)
	}
	_, _ = w.Write(i.Event) // a lost instance is noticed by its end
}

// claim finds the invocation that r is about and takes the duty to answer it.
// It has answered r itself where it gives nil.
func (s *Server) claim(w http.ResponseWriter, r *http.Request) *Invocation {
	i := s.byID(r.PathValue("id"))
	switch {
	case i == nil:
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "there is no such invocation")
		return nil
	case !i.claim():
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the invocation has been answered already")
		return nil
	}
	return i
}

// byID gives the invocation that the instance has by this id, or nil.
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

// response takes an answer, whole or as a stream.
func (s *Server) response(w http.ResponseWriter, r *http.Request) {
	i := s.claim(w, r)
	switch {
	case i == nil:
	case isStream(r):
		s.passOn(w, r, i)
	default:
		s.take(w, r, i)
	}
}

func isStream(r *http.Request) bool {
	return r.Header.Get("Lambda-Runtime-Function-Response-Mode") == "streaming" || r.Header.Get("Content-Type") == streamType
}

// take reads a whole answer. An error may still follow it as a trailer.
func (s *Server) take(w http.ResponseWriter, r *http.Request, i *Invocation) {
	payload, err := readAll(r, maxResponse)
	switch {
	case err != nil:
		i.send(Result{Err: i.broken(err)})
		return
	case len(payload) > maxResponse:
		_, _ = io.CopyN(io.Discard, r.Body, maxResponse) // so that the refusal is read and not lost in a reset
		i.send(Result{Err: fault.FunctionBadResponse.New("", fault.Cause(&function.Failure{
			Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("the answer is larger than %d bytes", MaxPayload),
		}))})
		refuse(w, http.StatusRequestEntityTooLarge, "Function.ResponseSizeTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxResponse))
		return
	}
	result := Result{Payload: payload, ContentType: r.Header.Get("Content-Type"), Err: trailerError(r)}
	i.Answered()
	i.send(result)
	accept(w)
}

// readAll reads at most one byte more than limit. A known length spares growing.
func readAll(r *http.Request, limit int64) ([]byte, error) {
	if length := r.ContentLength; length >= 0 && length <= limit {
		payload := make([]byte, length)
		_, err := io.ReadFull(r.Body, payload)
		return payload, err //nolint:wrapcheck // broken wraps it
	}
	return io.ReadAll(io.LimitReader(r.Body, limit+1)) //nolint:wrapcheck // broken wraps it
}

// passOn lets the client's side read the answer while it arrives.
func (s *Server) passOn(w http.ResponseWriter, r *http.Request, i *Invocation) {
	body := &stream{invocation: i, request: r, finished: make(chan struct{})}
	i.send(Result{Stream: body, ContentType: r.Header.Get("Content-Type")})
	select {
	case <-body.finished:
	case <-s.ended:
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil { // what a client that left did not read
		accept(w)
	}
}

// failure takes the function's error instead of an answer.
func (s *Server) failure(w http.ResponseWriter, r *http.Request) {
	if i := s.claim(w, r); i != nil {
		said := readError(r)
		i.Answered()
		i.send(Result{Err: failed(said)})
		accept(w)
	}
}

// initFailure takes the reason why the instance cannot start; it ends by itself.
func (s *Server) initFailure(w http.ResponseWriter, r *http.Request) {
	said := readError(r)
	s.mu.Lock()
	late := s.isReady
	if !late {
		s.initError = said
	}
	s.mu.Unlock()
	if late {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the function is initialised")
		return
	}
	s.feed.Initialised(cmp.Or(said.Type, "Runtime.Unknown"))
	accept(w)
}
