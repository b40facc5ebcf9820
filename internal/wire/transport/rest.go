package transport

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// rest is how long a connection over HTTP/1.1 may be unused, where the endpoint has said that it
// closes it sooner than the pool would. The zero value rests as long as the pool likes.
type rest struct {
	mu    sync.Mutex
	uses  uint64 // requests that have had the connection
	after uint64 // which of them the timer began after
	timer *time.Timer
}

// taken is told that a request has the connection, and gives its number.
func (r *rest) taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses++
	if r.timer != nil {
		r.timer.Stop()
	}
	return r.uses
}

// begin is told that a request has ended. The connection is closed after d, unless another
// request takes it before, as it may have by now; one that takes it in that very moment finds it
// closed, has sent nothing, and is tried again.
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

// restOf gives how long a connection may be unused by the field Keep-Alive of a response,
// and whether the response says so.
func restOf(head http.Header) (time.Duration, bool) {
	for _, line := range head["Keep-Alive"] {
		if d, ok := http1.KeepAlive(line); ok {
			return d, true
		}
	}
	return 0, false
}
