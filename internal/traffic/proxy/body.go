package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// body is the client's body on its way to the backend. The handler reads the part that
// the proxy waits for; the goroutine that calls the backend reads the rest. finish makes
// sure that nothing reads it any more. A body that was held in full is given to the
// backend from memory, and that memory may be reused.
type body struct {
	taking

	room    []byte                        // for content that is read ahead; nil: none yet
	held    bytes.Reader                  // over all of it
	content io.ReadCloser                 // reads held
	again   func() (io.ReadCloser, error) // reads it once more
}

// taking is the part of a body that is reset for each exchange.
type taking struct {
	*passage

	source    io.Reader
	ahead     []byte           // was read from source and is still to be read
	least     [leastAhead]byte // the first memory for ahead
	all       []byte           // all of the body, if it is held
	isHeld    bool             // the backend was given all of it, from memory
	isWatched bool             // the proxy may have to wait for it
	limited   bool
	left      int64         // bytes that may still come, if limited
	announced []string      // trailers
	outbound  *http.Request // the request to which the trailers are passed on; nil: there is none yet

	mu       sync.Mutex // held while source is read
	err      error      // the error with which source ended
	received int64      // bytes
	closed   atomic.Bool
	reading  atomic.Bool
	cut      atomic.Bool           // Close has ended a Read
	whole    atomic.Bool           // source was read to its end
	ended    sync.Once             // calls watch.done
	waking   sync.Mutex            // held while a read is interrupted
	finished bool                  // reads must not be interrupted any more; guarded by waking
	failure  atomic.Pointer[error] // why the client's side failed; nil if it has not
}

// takeBody begins to read the client's body, if there is one. The request to the backend
// is made only afterwards, so that less memory is held while the proxy waits for a slow
// client.
func (t *passage) takeBody() error {
	if t.r.ContentLength == 0 || t.r.Body == nil || t.r.Body == http.NoBody {
		return nil
	}
	b := t.spare
	if t.spare = nil; b == nil {
		b = newBody()
	}
	b.taking = taking{passage: t, left: t.BodyBytes, limited: t.BodyBytes > 0, source: t.r.Body}
	b.announced = allowedTrailers(exchange.RequestTrailer(t.r))
	t.body = b
	if !b.isHere() {
		b.isWatched = true
		t.watch.begin()
		if t.r.ProtoMajor == 1 {
			_ = t.control().EnableFullDuplex() // a writer that cannot do so does not need it
		}
	}
	return b.readAhead()
}

func newBody() *body {
	b := new(body)
	b.content = io.NopCloser(&b.held) // net/http sends it in one piece with the head
	b.again = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.all)), nil }
	return b
}

// isForgotten reports, for a body whose request nothing holds any more, whether nothing
// holds the body either. After a further attempt that is not certain: the connection of an
// earlier attempt, which was given up, may still read the body.
func (b *body) isForgotten() bool { return b.isHeld && len(b.exchange.Attempts) <= 1 }

// forget drops everything that belongs to one exchange; nobody holds any of it any more.
func (b *body) forget() {
	poison.Bytes(b.all)
	if cap(b.room) > mostKept {
		b.room = nil
	}
	b.held.Reset(nil)
	b.taking = taking{}
}

// mostKept is the largest read-ahead memory that is kept for reuse.
const mostKept = 16 << 10

// allowedTrailers returns the names in a trailer section that may be passed on.
func allowedTrailers(section exchange.Head) []string {
	return slices.DeleteFunc(section.Names(), func(name string) bool { return !forward.TrailerAllowed(name) })
}

// Read reads a piece from the client. If it exceeds the limit, the error is a fault.
// Reading past the end returns the same end again.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading.Store(true) // set before closed is read; finish uses the reverse order
	n, err := b.read(p)
	b.reading.Store(false)
	return n, err
}

// read is Read for a caller that has locked mu.
func (b *body) read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(b.ahead) > 0 {
		return b.fromAhead(p), nil
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.source.Read(p)
	b.received += int64(n)
	b.watch.touch()
	if b.limited {
		if b.left -= int64(n); b.left < 0 {
			n, err = 0, tooLarge(b.BodyBytes)
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		b.whole.Store(true)
		b.passTrailers()
	case err != nil && b.closed.Load() && !isFault(err): // Close or finish ended the read
		err = http.ErrBodyReadAfterClose
	case err != nil:
		failure := err // a separate variable, because it escapes to the heap
		b.failure.Store(&failure)
	}
	if b.err = err; err != nil {
		b.unwatch()
	}
	return n, err
}

// isFault reports whether err is about what the client has sent. The request's context may
// end because of that before the read returns, and the transport then calls Close.
func isFault(err error) bool {
	_, is := errors.AsType[*fault.Fault](err)
	return is
}

// unwatch records that the proxy does not wait for the body any more.
func (b *body) unwatch() {
	if b.isWatched {
		b.ended.Do(b.watch.done)
	}
}

// passTrailers fills in the announced trailers when the body has ended.
func (b *body) passTrailers() {
	if len(b.announced) == 0 || b.outbound == nil {
		return
	}
	trailer := exchange.RequestTrailer(b.outbound)
	for _, name := range b.announced {
		trailer.Del(name)
	}
	exchange.CopyHead(trailer, exchange.RequestTrailer(b.r), func(name string, _ field.Known) bool {
		return slices.ContainsFunc(b.announced, func(known string) bool { return strings.EqualFold(known, name) })
	})
}

// failed returns the error of the client's side, nil if there is none.
func (b *body) failed() error {
	if err := b.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close is called by the backend when it wants no more of the body. If a Read is waiting
// at that time, Close ends it: over HTTP/2, net/http does not report that a connection is
// lost before that Read has returned. The server closes its own body when the handler has
// returned.
func (b *body) Close() error {
	b.closed.Store(true)
	b.unwatch()
	if b.reading.Load() {
		b.cut.Store(true)
		b.wake()
	}
	return nil
}

// finish waits until nothing reads the client's body any more. It wakes a read that still
// waits for the client, with a deadline in the past.
func (b *body) finish() {
	b.closed.Store(true)
	b.wake()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole.Load() && b.r.ProtoMajor == 1 {
		b.exhaust()
	}
	b.err = http.ErrBodyReadAfterClose
	b.waking.Lock()
	b.finished = true
	b.waking.Unlock()
	b.exchange.Received = b.received
}

// exhaust reads what has already come of the body, and makes sure that nothing more comes.
// net/http's server looks for the end of a body once more when the handler has returned.
// If it found the end there, in full duplex, it would start to read the next request in a
// second goroutine.
func (b *body) exhaust() {
	_ = b.control().SetReadDeadline(past) // a writer that has no deadlines has no connection
	if _, err := io.Copy(io.Discard, b.source); err == nil {
		b.whole.Store(true)
	}
}

// wake ends a read that waits for the client. The backend may call it after the handler has
// returned, when the writer must not be used any more.
func (b *body) wake() {
	b.waking.Lock()
	defer b.waking.Unlock()
	if b.reading.Load() && !b.finished {
		_ = b.control().SetReadDeadline(past) // a writer that has no deadlines has no blocking reads
	}
}

// past is a deadline in the past.
var past = time.Unix(1, 0)

func tooLarge(limit int64) *fault.Fault {
	return fault.BodyTooLarge.New("The body may have at most " + strconv.FormatInt(limit, 10) + " bytes.")
}
