package exchange

import (
	"fmt"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Sent says how far a request got before its attempt failed.
type Sent uint8

// The order matters: a larger value means that more was sent.
const (
	SentNothing  Sent = iota // no connection was made, or nothing was written to it
	SentPartly               // some bytes went out; the backend may have acted on them
	SentAll                  // head and body went out whole
	SentHeadSeen             // and the response's head came back; the body failed
)

func (s Sent) String() string {
	return [...]string{"nothing was sent", "partly sent", "sent whole", "response head seen"}[s]
}

// SendError says why one attempt over a connection failed, and how much the other side may have seen. Retries, budgets
// and explain read it and nothing else.
type SendError struct {
	Endpoint string // the address that was tried
	Sent     Sent
	Dial     bool // the connection could not be made
	Refused  bool // or was not allowed: the address is out of the backend's bounds
	Reused   bool // the connection had served before: it may just have been closed because it was idle
	GoAway   bool // an HTTP/2 GOAWAY says that the stream was not processed
	Timeout  bool // one of the backend's timeouts ran out; the client did not give up
	Err      error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%s: %v (%s)", e.Endpoint, e.Err, e.Sent)
}

func (e *SendError) Unwrap() error { return e.Err }

// Unprocessed reports whether it is certain that no backend acted on the request, so that even an unsafe method may go
// to another endpoint.
func (e *SendError) Unprocessed() bool { return e.Sent == SentNothing || e.GoAway }

// Unreachable reports whether no connection could be made and that was known at once: no backend has seen the request,
// and the attempt cost next to nothing. A timeout, or an address out of the backend's bounds, does not count.
func (e *SendError) Unreachable() bool { return e.Dial && !e.Timeout && !e.Refused }

// Fault returns the problem that the client is told for e, with options added.
func (e *SendError) Fault(options ...fault.Option) *fault.Fault {
	kind := fault.BackendReset
	switch {
	case e.Refused:
		kind = fault.BackendForbidden
	case e.Dial:
		kind = fault.BackendUnreachable
	case e.Timeout:
		kind = fault.BackendTimeout
	}
	return kind.New("", append(options, fault.Cause(e))...)
}

// Ending is told once how the body of a response has ended; see package transport.
type Ending interface{ Ended(how error) }

// Returning is an Ending whose memory is reused. Released is called after its end, when nothing holds the request or
// its context any more, nor the response.
type Returning interface {
	Ending
	Released()
}

// EndingFunc is a function that implements Ending.
type EndingFunc func(how error)

// Ended implements Ending.
func (f EndingFunc) Ended(how error) { f(how) }
