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

// body is the client's body on its way to the backend. What is waited for is read by the handler, and the
// rest by whoever calls the backend; finish makes sure that nobody does any more. What was held as a whole is given to the
// backend from memory, and that memory may be used again.
type body struct {
	taking

	room    []byte                        // for what is read ahead; nil: none yet
	held    bytes.Reader                  // of all of it
	content io.ReadCloser                 // reads held
	again   func() (io.ReadCloser, error) // reads it once more
}

// taking is what a body is but for that memory.
type taking struct {
	*passage

	source    io.Reader
	ahead     []byte           // was read from the source, and is to be read from here
	least     [leastAhead]byte // where that begins
	all       []byte           // of it, where it is held
	isHeld    bool             // the backend was given all of it, from memory
	isWatched bool             // it may have to be waited for
	limited   bool
	left      int64         // bytes that may still come, where limited
	announced []string      // trailers
	outbound  *http.Request // which they are passed on to; nil: there is none yet

	mu       sync.Mutex // held while the source is read
	err      error      // how the source ended
	received int64      // bytes
	closed   atomic.Bool
	reading  atomic.Bool
	cut      atomic.Bool           // Close has ended a Read
	whole    atomic.Bool           // the source was read to its end
	ended    sync.Once             // tells the watch
	waking   sync.Mutex            // held while a read is ended
	finished bool                  // nobody may end one any more; guarded by waking
	failure  atomic.Pointer[error] // why the client's side failed; nil while it has not
}

// takeBody begins to take the client's body, where it has one. The request to the backend is made after that:
// while a slow client is waited for it would be so much more to hold.
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
			_ = t.control().EnableFullDuplex() // a writer that cannot is one that need not
		}
	}
	return b.readAhead()
}

func newBody() *body {
	b := new(body)
	b.content = io.NopCloser(&b.held) // which net/http sends in one piece with the head
	b.again = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.all)), nil }
	return b
}

// isForgotten tells, of the body of a request that nobody has any more, whether nobody has that either: an attempt before, which was given
// up, may have gone by a way that reads on.
func (b *body) isForgotten() bool { return b.isHeld && len(b.exchange.Attempts) <= 1 }

// forget lets go of what belongs to one exchange, of which nobody has anything any more.
func (b *body) forget() {
	poison.Bytes(b.all)
	if cap(b.room) > mostKept {
		b.room = nil
	}
	b.held.Reset(nil)
	b.taking = taking{}
}

// mostKept is how much room for what is read ahead is used again.
const mostKept = 16 << 10

// allowedTrailers gives the names of a trailer section that may be passed on.
func allowedTrailers(section exchange.Head) []string {
	return slices.DeleteFunc(section.Names(), func(name string) bool { return !forward.TrailerAllowed(name) })
}

// Read reads a piece from the client. A limit that is passed is a fault, and
// reading past the end gives the same end again.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading.Store(true) // before closed is looked at: finish does it the other way round
	n, err := b.read(p)
	b.reading.Store(false)
	return n, err
}

// read is Read of who has locked mu.
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
	case err != nil && b.closed.Load(): // which has ended it
		err = http.ErrBodyReadAfterClose
	case err != nil:
		failure := err // a variable of its own, for that goes to the heap
		b.failure.Store(&failure)
	}
	if b.err = err; err != nil {
		b.unwatch()
	}
	return n, err
}

// unwatch says that nothing of it is waited for any more.
func (b *body) unwatch() {
	if b.isWatched {
		b.ended.Do(b.watch.done)
	}
}

// passTrailers fills in what was announced, when the body has ended.
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

// failed gives the error of the client's side, nil where it has none.
func (b *body) failed() error {
	if err := b.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close is called by the backend when it wants no more, also while it waits in a Read, which then
// ends: over HTTP/2 net/http tells nobody that a connection is lost before that. The server closes
// its own body when the handler has returned.
func (b *body) Close() error {
	b.closed.Store(true)
	b.unwatch()
	if b.reading.Load() {
		b.cut.Store(true)
		b.wake()
	}
	return nil
}

// finish waits until nobody reads the client's body any more. A read that still
// waits for the client is woken by a deadline in the past.
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

// exhaust reads what has come of the body, and sees to it that nothing more comes.
// net/http's server looks for the end of a body once more when the handler has
// returned. Found there, in full duplex, it would start to read the next request
// in a second goroutine.
func (b *body) exhaust() {
	_ = b.control().SetReadDeadline(past) // a writer that has no deadlines has no connection
	if _, err := io.Copy(io.Discard, b.source); err == nil {
		b.whole.Store(true)
	}
}

// wake ends a read that waits for the client. The backend may want that when the handler has
// returned, which nobody may use the writer after.
func (b *body) wake() {
	b.waking.Lock()
	defer b.waking.Unlock()
	if b.reading.Load() && !b.finished {
		_ = b.control().SetReadDeadline(past) // a writer that has no deadlines has no blocking reads
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

func tooLarge(limit int64) *fault.Fault {
	return fault.BodyTooLarge.New("The body may have at most " + strconv.FormatInt(limit, 10) + " bytes.")
}
