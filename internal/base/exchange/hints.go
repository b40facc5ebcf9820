package exchange

import (
	"errors"
	"net/http"
	"net/textproto"
	"sync"
)

// ErrHintsTooLong ends an attempt whose 1xx responses together are larger than a response head may be.
var ErrHintsTooLong = errors.New("the backend's 1xx responses are larger than a head may be")

// Hints passes the 1xx responses of one attempt on to the client, for backends over net/http, whose hook runs on the
// connection's own goroutine, even after RoundTrip has returned. It bounds their total size: net/http bounds each one,
// but not their number. A nil *Hints passes nothing. Safe for concurrent use.
type Hints struct {
	inform Informer

	mu    sync.Mutex
	left  int64 // bytes
	ended bool
}

// Hints returns the relay for one attempt, with a limit in bytes for all its 1xx responses together. It returns nil if
// the client can take none.
func (x *Exchange) Hints(limit int64) *Hints {
	if x == nil || x.Informational == nil {
		return nil
	}
	return &Hints{inform: x.Informational, left: limit}
}

// Pass passes one 1xx response on; it is the hook httptrace.ClientTrace.Got1xxResponse. A 100 is dropped, because it is
// not up to the backend: the client gets one when its body is first read. An error ends the attempt.
func (h *Hints) Pass(status int, header textproto.MIMEHeader) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left -= headSize(header); h.left < 0 {
		return ErrHintsTooLong
	}
	if !h.ended && status != http.StatusContinue {
		h.inform.Inform(status, mapHead(header))
	}
	return nil
}

// End must be called as soon as RoundTrip has returned: from then on only the caller may use the response's head.
func (h *Hints) End() {
	if h != nil {
		h.mu.Lock()
		h.ended = true
		h.mu.Unlock()
	}
}

// TooLong reports whether Pass has returned ErrHintsTooLong, because the error of an HTTP/2 stream does not lead back
// to its cause.
func (h *Hints) TooLong() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left < 0
}

// headSize is the approximate size of a response head on the wire.
func headSize(header textproto.MIMEHeader) int64 {
	const statusLine, separators = 32, len(": \r\n")
	n := statusLine
	for name, values := range header {
		for _, value := range values {
			n += len(name) + len(value) + separators
		}
	}
	return int64(n)
}
