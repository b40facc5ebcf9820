package runtimeapi

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// Invocation is one question to a function, used once. Make it with NewInvocation.
type Invocation struct {
	ID       string // unique; goes into URLs, so it is made of URL-safe characters
	ARN      string // the function's name as AWS writes it
	Trace    string // X-Ray's trace header
	Client   string // the client context, a JSON object; "" for none
	Event    []byte // what the function gets
	Deadline time.Time
	// Answered is called when the whole answer has arrived, and Settled when the
	// instance is ready for another invocation, each at most once and by the
	// server's goroutines. Settled is not called after Abort or Close.
	Answered, Settled func()

	told *telemetryapi.Invocation // to whoever wants to know of it; nil for nobody

	mu        sync.Mutex
	claimed   bool  // somebody has the duty to send the result
	aborted   bool  // there will be no settling
	cause     error // why it was cut short; nil where it was not
	abandoned bool  // nobody waits for the result
	result    chan Result
}

// NewInvocation makes an invocation; its functions are to be set before it is used.
func NewInvocation(id, arn, trace string, event []byte, deadline time.Time) *Invocation {
	return &Invocation{ID: id, ARN: arn, Trace: trace, Event: event, Deadline: deadline, result: make(chan Result, 1)}
}

// appendFields appends the lines that tell an instance about the event.
func (i *Invocation) appendFields(out []byte) []byte {
	out = appendField(out, "Lambda-Runtime-Aws-Request-Id", i.ID)
	out = append(strconv.AppendInt(append(out, "Lambda-Runtime-Deadline-Ms: "...), i.Deadline.UnixMilli(), 10), "\r\n"...)
	out = appendField(out, "Lambda-Runtime-Invoked-Function-Arn", i.ARN)
	out = appendField(out, "Lambda-Runtime-Trace-Id", i.Trace)
	if i.Client != "" {
		out = appendField(out, "Lambda-Runtime-Client-Context", i.Client)
	}
	return out
}

// appendField appends one line, whatever the value is: JSON may have line ends between
// its parts.
func appendField(out []byte, name, value string) []byte {
	out = append(append(out, name...), ": "...)
	begin := len(out)
	out = append(out, value...)
	for at := begin; at < len(out); at++ {
		if out[at] == '\r' || out[at] == '\n' {
			out[at] = ' '
		}
	}
	return append(out, "\r\n"...)
}

// Result is a function's answer: a whole Payload or a Stream, or Err, a
// *fault.Fault. Who takes it closes Stream.
type Result struct {
	Payload     []byte
	Stream      io.ReadCloser
	ContentType string
	Err         error
}

// Result gives the answer, once.
func (i *Invocation) Result() <-chan Result { return i.result }

// Abandon says that nobody waits for the result any more. The function goes on.
func (i *Invocation) Abandon() {
	i.mu.Lock()
	i.abandoned = true
	i.mu.Unlock()
	select {
	case r := <-i.result:
		r.discard()
	default:
	}
}

func (r Result) discard() {
	if r.Stream != nil {
		_ = r.Stream.Close() // it only says that nobody reads on
	}
}

// Abort cuts the invocation short with err, a *fault.Fault: a result that is
// not there yet becomes err, and a stream that is being read ends with it. The
// instance must be ended, for it still works on its answer.
func (i *Invocation) Abort(err error) {
	i.mu.Lock()
	i.aborted = true
	if i.cause == nil {
		i.cause = err
	}
	first := !i.claimed
	i.claimed = true
	i.mu.Unlock()
	if first {
		i.result <- Result{Err: err}
	}
}

// claim takes the duty to send the result; only one can have it.
func (i *Invocation) claim() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.claimed {
		return false
	}
	i.claimed = true
	return true
}

func (i *Invocation) isClaimed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.claimed
}

func (i *Invocation) isAborted() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.aborted
}

func (i *Invocation) send(r Result) {
	switch {
	case i.told == nil:
	case r.Stream != nil:
		i.told.Responding()
	default:
		i.told.Responded(int64(len(r.Payload)), failureType(r.Err))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.abandoned {
		r.discard()
		return
	}
	i.result <- r // has room for the one result
}

func (i *Invocation) settle() {
	i.mu.Lock()
	aborted := i.aborted
	i.mu.Unlock()
	if !aborted {
		i.Settled()
	}
}

// cut is why the invocation ended without an answer.
func (i *Invocation) cut() telemetryapi.Cut {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.cause == nil:
		return telemetryapi.None
	case fault.From(i.cause).Code == fault.FunctionTimeout.Code:
		return telemetryapi.Timeout
	default:
		return telemetryapi.Failure
	}
}

// broken gives why the answer ended early: the cause that is known, or that
// the connection was lost.
func (i *Invocation) broken(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cause != nil {
		return i.cause
	}
	return fault.FunctionCrashed.New("", fault.Internal("the connection was lost during the answer"), fault.Cause(err))
}

// stream is an answer that is passed on while it arrives: the content of the
// function's POST, read by the client's side while the connection's own goroutine waits.
type stream struct {
	invocation *Invocation
	once       sync.Once
	finished   chan struct{} // closed when the content was read or given up

	mu     sync.Mutex // held while somebody reads
	call   *call
	err    error // what every later Read gives
	passed int64 // bytes
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.finished:
		if s.err == nil {
			s.err = errClosed
		}
	default:
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.call.Read(p)
	s.passed += int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		s.err = s.invocation.broken(err)
	default:
		s.err = io.EOF
		failed := s.call.trailerError()
		if failed != nil {
			s.err = failed
		}
		s.invocation.told.Responded(s.passed, failureType(failed))
		s.invocation.Answered()
	}
	s.finish()
	return n, s.err
}

var errClosed = errors.New("the answer was given up")

// Close gives up the rest of the answer.
func (s *stream) Close() error {
	s.finish()
	return nil
}

func (s *stream) finish() { s.once.Do(func() { close(s.finished) }) }

// rest reads what nobody has read, and tells whether all of it came.
func (s *stream) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.Copy(io.Discard, &s.call.content)
	return err == nil
}
