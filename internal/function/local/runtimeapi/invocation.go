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

// Invocation is one call of a function, used once. Make it with NewInvocation.
type Invocation struct {
	ID       string // unique; goes into URLs, so it is made of URL-safe characters
	ARN      string // the function's name as AWS writes it
	Trace    string // X-Ray's trace header
	Client   string // the client context, a JSON object; "" for none
	Event    []byte // what the function receives
	Deadline time.Time
	// Answered is called when the whole answer has arrived, and Settled when the instance is ready for another
	// invocation. Each is called at most once, by the server's goroutines. Settled is not called after Abort or Close.
	Answered, Settled func()

	told *telemetryapi.Invocation // for subscribers; nil if there are none

	mu        sync.Mutex
	claimed   bool  // a goroutine has the duty to send the result
	aborted   bool  // Settled will not be called
	cause     error // why it was cut short; nil if it was not
	abandoned bool  // nothing waits for the result
	result    chan Result
}

// NewInvocation makes an invocation. Its functions must be set before it is used.
func NewInvocation(id, arn, trace string, event []byte, deadline time.Time) *Invocation {
	return &Invocation{ID: id, ARN: arn, Trace: trace, Event: event, Deadline: deadline, result: make(chan Result, 1)}
}

// appendFields appends the header lines that describe the event to an instance.
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

// appendField appends one line, whatever the value is: JSON may have line breaks between its parts.
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

// Result is a function's answer: a whole Payload or a Stream, or Err, a *fault.Fault. The receiver closes Stream.
type Result struct {
	Payload     []byte
	Stream      io.ReadCloser
	ContentType string
	Err         error
}

// Result returns the channel that yields the answer once.
func (i *Invocation) Result() <-chan Result { return i.result }

// Abandon says that the result is no longer awaited. The function goes on.
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
		_ = r.Stream.Close() // it only signals that the rest will not be read
	}
}

// Abort cuts the invocation short with err, a *fault.Fault: a missing result becomes err, and a stream that is being
// read ends with it. The instance must be ended, because it still works on its answer.
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

// claim takes the duty to send the result. Only one goroutine can have it.
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

// cut returns why the invocation ended without an answer.
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

// broken returns why the answer ended early: the known cause, or that the connection was lost.
func (i *Invocation) broken(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cause != nil {
		return i.cause
	}
	return fault.FunctionCrashed.New("", fault.Internal("the connection was lost during the answer"), fault.Cause(err))
}

// stream is an answer that is passed on while it arrives: the content of the function's POST. The client's side reads
// it while the connection's own goroutine waits.
type stream struct {
	invocation *Invocation
	once       sync.Once
	finished   chan struct{} // closed when the content was read or given up

	mu     sync.Mutex // held during a read
	call   *call
	err    error // what every later Read returns
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

// rest reads what was not read yet, and reports whether all of it came.
func (s *stream) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.Copy(io.Discard, &s.call.content)
	return err == nil
}
