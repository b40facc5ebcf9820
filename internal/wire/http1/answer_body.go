package http1

import (
	"io"
	"net/http"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// answerBody is the body of a response (http.Response.Body). Each one belongs to one response: code that keeps it after
// that was released finds it at its end, and does not see the response that uses the same memory then.
type answerBody struct {
	round    *round // the round it was made for; keeping the body keeps the round
	released atomic.Bool
}

// bodiesAtOnce is how many a round allocates together, because allocating one costs as much.
const bodiesAtOnce = 32

// lend returns the body of a response.
func (r *round) lend() *answerBody {
	if len(r.bodies) == 0 {
		r.bodies = make([]answerBody, bodiesAtOnce)
		for i := range r.bodies {
			r.bodies[i].round = r
		}
	}
	b := &r.bodies[0]
	r.bodies = r.bodies[1:]
	return b
}

// use returns the round that b is the body of, nil if it was released.
func (b *answerBody) use() *round {
	if b.released.Load() {
		return nil
	}
	return b.round
}

// Release says that nobody uses the response any more, neither its head nor its body. It reports whether nobody has its
// request or the request's context either. This is so if nothing of the request is being sent any more, the response
// was read to its end, and no connection was made for it, because resolvers ask a context for its values after they
// have answered. Release must be called after a Close, or the Read or WriteTo that came to the end, has returned, never
// concurrently with one: that call may still use the round.
func (b *answerBody) Release() (request bool) {
	r := b.use()
	if r == nil || !onlyEOF(r.err) || !r.ended.Load() {
		return false
	}
	b.released.Store(true)
	request = r.feed == nil && r.reused
	if r.head.IsPlain() {
		return request
	}
	r.head.Forget()
	poison.Response(&r.res)
	r.tellReleased()
	if !poison.On && (r.feed == nil || r.feed.isOver()) {
		r.course = course{}
		r.client.rounds.Put(r)
	}
	return request
}

// tellReleased tells the Ending that has followed the response, if that is a Returning, that nobody has the request or
// its context any more. This is so if nothing is being sent and nothing has dialled for the request, because a dial may
// still look up a name. The patrol is no obstacle: it looks at contexts with client.mu locked, and r was taken off its
// link with client.mu locked, when the link was kept or forgotten.
func (r *round) tellReleased() {
	if e, ok := r.onEnd.(exchange.Returning); ok && r.feed == nil && r.reused {
		e.Released()
	}
}

// Read reads a piece of the response's content. An error is a *exchange.SendError that says that the head was seen.
func (b *answerBody) Read(p []byte) (int, error) {
	if r := b.use(); r != nil {
		return r.readOn(p)
	}
	return 0, io.EOF
}

// Close gives up the rest of the response, and the link with it.
func (b *answerBody) Close() error {
	if r := b.use(); r != nil && !r.ended.Load() {
		r.giveUpRest()
	}
	return nil
}

// OnEnd sets what is called when the body has ended, one way or another: how is io.EOF if it came to its end, nil if it
// was closed before, and otherwise why it broke off.
func (b *answerBody) OnEnd(e exchange.Ending) {
	if r := b.use(); r != nil {
		r.onEnd = e
	}
}

// Late reports whether the response is a 408 that ends a kept connection. The endpoint may have sent it because no
// request had come, before this one arrived (RFC 9110 section 15.5.9).
func (b *answerBody) Late() bool {
	r := b.use()
	return r != nil && r.late
}

// Whole reports whether all of the content has arrived with the head, so that no Read waits for any.
func (b *answerBody) Whole() bool {
	r := b.use()
	return r == nil || r.held
}

// Head returns the lines of the response's head if that has lines, nil if the response was released.
func (b *answerBody) Head() *exchange.Lines {
	if r := b.use(); r != nil {
		return &r.head
	}
	return nil
}

// WriteTo implements io.WriterTo. Content that has arrived completely is written from where it lies, after the link was
// freed for other requests.
func (b *answerBody) WriteTo(w io.Writer) (int64, error) {
	r := b.use()
	if r == nil {
		return 0, nil
	}
	in, held := r.takeHeld()
	if !held {
		return io.Copy(w, reader(r.readOn))
	}
	r.end(io.EOF)
	n, err := w.Write(in.b)
	r.spares(in)
	return int64(n), err //nolint:wrapcheck // the writer's own
}

// ReadAtOnce implements exchange.Lent.
func (b *answerBody) ReadAtOnce(p []byte) int {
	if r := b.use(); r != nil {
		return r.readAtOnce(p)
	}
	return 0
}

func (r *round) readAtOnce(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() || r.err != nil || r.framing != ByLength {
		return 0
	}
	p = p[:min(int64(len(p)), r.left)]
	in := &r.room.in
	n := copy(p, in.b) // what came with the head
	if in.skip(n); n < len(p) && r.link.talk.isPossible() {
		n += r.link.talk.socket.ReadNow(p[n:])
	}
	r.left -= int64(n)
	return n
}

// readOn implements Read.
func (r *round) readOn(p []byte) (int, error) {
	r.mu.Lock()
	n, err := r.read(p)
	r.mu.Unlock()
	if err != nil && !r.closed.Load() { // otherwise it fails because of Close
		r.end(err)
	}
	return n, err
}

// giveUpRest implements Close.
func (r *round) giveUpRest() {
	r.closed.Store(true)
	if !r.mu.TryLock() {
		_ = r.link.below.Close() // a Read under way then fails
		r.mu.Lock()
	}
	if r.err == nil {
		r.err = http.ErrBodyReadAfterClose
		r.release(false)
	}
	r.mu.Unlock()
	r.end(nil)
}

// takeHeld returns all that is left to be read if it is there, and ends the round.
func (r *round) takeHeld() (in inlet, held bool) {
	r.mu.Lock()
	if held = r.held && r.err == nil && !r.closed.Load(); held {
		more := int64(len(r.room.in.b)) > r.left
		in, r.room.in = r.room.in, inlet{}
		in.room, in.b = in.whole(), in.b[:r.left]
		r.left, r.err = 0, io.EOF
		r.release(r.keeps && !more)
	}
	r.mu.Unlock()
	return in, held
}

func (r *round) end(how error) {
	if !r.ended.Swap(true) && r.onEnd != nil {
		r.onEnd.Ended(how)
	}
}

func (r *round) read(p []byte) (n int, err error) {
	switch {
	case r.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case r.err != nil:
		return 0, r.err
	case len(p) == 0:
		return 0, nil
	}
	switch r.framing {
	case ByChunks:
		n, err = r.readChunks(p)
	case ByLength:
		n, err = r.readLength(p)
	default:
		n, err = r.receiveContent(p)
	}
	switch {
	case err == nil:
		return n, nil
	case onlyEOF(err):
		r.err = io.EOF
	default:
		r.err = r.brokeOff(err)
	}
	r.release(r.keeps && onlyEOF(err))
	return n, r.err
}

// brokeOff returns err as a *exchange.SendError that says that the head of the response was seen.
func (r *round) brokeOff(err error) error {
	e := r.sendError(r.cause(err))
	e.Sent = exchange.SentHeadSeen
	return e
}

// readLength reads content whose length is known, and never a byte of what follows.
func (r *round) readLength(p []byte) (int, error) {
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.receiveContent(p)
	r.left -= int64(n)
	if r.left == 0 {
		return n, io.EOF
	}
	return n, unexpected(err)
}

// receiveContent returns what was received before, or else reads from the link.
func (r *round) receiveContent(p []byte) (int, error) {
	in := &r.room.in
	if len(in.b) > 0 {
		n := copy(p, in.b)
		in.skip(n)
		return n, nil
	}
	r.room.lighten(r.framing == ByChunks)
	return r.link.Read(p)
}

// readChunks reads from chunks as much as has arrived and fits into p, and waits only for the first of it.
func (r *round) readChunks(p []byte) (n int, err error) {
	in := &r.room.in
	for {
		if r.chunks.state == data {
			if len(in.b) == 0 && n > 0 || n == len(p) {
				return n, nil
			}
			m, err := r.readData(p[n:])
			if n += m; err != nil {
				return n, err
			}
			continue
		}
		used, reason := r.chunks.toData(in.b)
		if reason != OK {
			return n, invalidError{reason}
		}
		in.skip(used)
		switch {
		case r.chunks.Done():
			return n, r.readTrailer(n > 0)
		case r.chunks.state == data:
		case n > 0:
			return n, nil
		default:
			if err := r.fill(); err != nil {
				return 0, err
			}
		}
	}
}

// readData reads data of a chunk, straight into p if none was received before.
func (r *round) readData(p []byte) (int, error) {
	if int64(len(p)) > r.chunks.left {
		p = p[:r.chunks.left]
	}
	n, err := r.receiveContent(p)
	_, _ = r.chunks.Scan(p[:n]) // data of any kind is valid
	return n, unexpected(err)
}

// fill receives more.
func (r *round) fill() error {
	n, err := r.room.in.fill(r.link)
	if n > 0 {
		return nil
	}
	return unexpected(err)
}

// readTrailer returns io.EOF when the trailer section has arrived and is valid. It waits for the section unless
// something was read already.
func (r *round) readTrailer(something bool) error {
	in := &r.room.in
	for {
		end, reason := trailerEnd(in.b)
		if reason == OK && end > 0 {
			reason = checkResponseTrailer(in.b[:end], r.client.options.Limits)
		}
		if reason == OK && (end > maxTrailer || end == 0 && len(in.b) >= maxTrailer) {
			reason = TrailerTooLarge
		}
		switch {
		case reason != OK:
			return invalidError{reason}
		case end > 0:
			r.takeTrailer(string(in.b[:end]))
			in.skip(end)
			return io.EOF
		case something:
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// takeTrailer replaces what was announced with what came.
func (r *round) takeTrailer(section string) {
	res := &r.res
	if res.Trailer == nil {
		if section == "\r\n" {
			return
		}
		res.Trailer = emptyTrailer(r.ordered)
	}
	fillTrailer(res.Trailer, section)
}
