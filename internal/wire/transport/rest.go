package transport

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// rest bounds how long a connection over HTTP/1.1 may be unused, if the endpoint has said that it closes the connection
// sooner than the pool would. With the zero value it may be unused as long as the pool keeps it.
type rest struct {
	mu    sync.Mutex
	uses  uint64 // requests that have used the connection
	after uint64 // number of the request after which the timer was started
	timer *time.Timer
}

// taken records that a request has taken the connection, and returns the request's number.
func (r *rest) taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses++
	if r.timer != nil {
		r.timer.Stop()
	}
	return r.uses
}

// begin records that a request has ended. The connection is closed after d, unless another request takes it before
// that, as may have happened by now. A request that takes it at that very moment finds it closed, has sent nothing, and
// is tried again.
func (r *rest) begin(use uint64, d time.Duration, conn io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if use != r.uses {
		return
	}
	r.after = use
	if r.timer != nil {
		r.timer.Reset(d)
		return
	}
	r.timer = time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.after == r.uses {
			_ = conn.Close() // nothing is under way on it
		}
	})
}

// restOf returns how long a connection may be unused according to the Keep-Alive field of a response, and whether the
// response says so.
func restOf(head http.Header) (time.Duration, bool) {
	for _, line := range head["Keep-Alive"] {
		if d, ok := http1.KeepAlive(line); ok {
			return d, true
		}
	}
	return 0, false
}
