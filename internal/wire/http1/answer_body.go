package http1

import (
	"io"
	"net/http"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// answerBody is the body of a response (http.Response.Body). Of each there is one use: whoever keeps it when the response was
// released finds that it is at its end, and not the response that has its memory then.
type answerBody struct {
	round    *round // which it belongs to from its making on, and which whoever keeps it keeps too
	released atomic.Bool
}

// bodiesAtOnce is how many a round makes together, as one at a time costs as much.
const bodiesAtOnce = 32

// lend gives the body of a response.
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

// use gives the round that it is the body of, nil where it was released.
func (b *answerBody) use() *round {
	if b.released.Load() {
		return nil
	}
	return b.round
}

// Release says that nobody uses the response any more, neither its head nor its body, and tells
// whether nobody has its request either, nor the context of that: nothing of it is being sent any more, the response was read to its end, and no
// connection was made for it, as resolvers ask a context for its values after they have answered.
// It must be called when a Close, or the Read or WriteTo that came to the end, has returned, never beside one: that may have the round yet.
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

// tellReleased tells who has followed the response that nobody has the request or its context any more: nothing is being
// sent; nobody has dialled for it, who may still look up a name; and the patrol looks at contexts with client.mu locked, as
// it was since r had its link: to keep that, or to forget it.
func (r *round) tellReleased() {
	if e, ok := r.onEnd.(exchange.Returning); ok && r.feed == nil && r.reused {
		e.Released()
	}
}

// Read reads a piece of the response's content. What fails is a *exchange.SendError that says that the head was seen.
func (b *answerBody) Read(p []byte) (int, error) {
	if r := b.use(); r != nil {
		return r.readOn(p)
	}
	return 0, io.EOF
}

// Close gives up what is left of the response, and its link with it.
func (b *answerBody) Close() error {
	if r := b.use(); r != nil && !r.ended.Load() {
		r.giveUpRest()
	}
	return nil
}

// OnEnd sets who is told when the body has ended, one way or another: how is io.EOF where it
// came to its end, nil where it was closed before, and else why it broke off.
func (b *answerBody) OnEnd(e exchange.Ending) {
	if r := b.use(); r != nil {
		r.onEnd = e
	}
}

// Late tells of an answer that it is 408 and the end of a kept connection: it may have been on
// its way already, for no request came, when this one was sent (RFC 9110 section 15.5.9).
func (b *answerBody) Late() bool {
	r := b.use()
	return r != nil && r.late
}

// Whole tells whether all of the content has come with the head, so that no Read waits for any.
func (b *answerBody) Whole() bool {
	r := b.use()
	return r == nil || r.held
}

// Head gives the lines of the response's head where that is of lines, nil where it was released.
func (b *answerBody) Head() *exchange.Lines {
	if r := b.use(); r != nil {
		return &r.head
	}
	return nil
}

// WriteTo implements io.WriterTo: what has been received as a whole is written from where it lies, when the link is
// free for others already.
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

// readOn is Read.
func (r *round) readOn(p []byte) (int, error) {
	r.mu.Lock()
	n, err := r.read(p)
	r.mu.Unlock()
	if err != nil && !r.closed.Load() { // else it fails because of that
		r.end(err)
	}
	return n, err
}

// giveUpRest is Close.
func (r *round) giveUpRest() {
	r.closed.Store(true)
	if !r.mu.TryLock() {
		_ = r.link.below.Close() // whoever reads learns of it
		r.mu.Lock()
	}
	if r.err == nil {
		r.err = http.ErrBodyReadAfterClose
		r.release(false)
	}
	r.mu.Unlock()
	r.end(nil)
}

// takeHeld gives all that is to be read where that is there, and ends the round.
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

// brokeOff is err where the head of the response was seen.
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

// receiveContent reads what was received before, or else from the link.
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

// readChunks reads from chunks as much as has come and has room in p, and waits only for the
// first of it.
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

// readData reads data of a chunk, straight to p where none was received before.
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

// readTrailer gives io.EOF when the trailer section has come and is valid. It waits for it
// unless something was read already.
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

// takeTrailer puts what came in the place of what was announced.
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
