package http1

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/pace"
)

// body is the content of a request. It is never used again: a transport may read from it
// when the handler has returned, and gets an error then.
type body struct {
	conn     *Conn
	turn     *turn
	chunked  bool
	expected bool // the client waits until it is asked for it (RFC 9110 section 10.1.1)

	mu      sync.Mutex // guards what follows, and the turn's inlet while there is a body
	left    int64      // bytes still to come, where it is not chunked
	chunks  Chunks
	trailer http.Header // what was announced; nil: nothing
	pace    pace.Pace
	err     error       // how it ended
	asked   bool        // the client needs no word any more
	over    atomic.Bool // nobody may read it any more
}

// Read reads a piece of the content. What breaks its framing is a *fault.Fault, as is a
// client that sends too slowly.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

// Buffered is how many bytes of the content can be read without waiting for the client, of one that nobody else reads yet.
func (b *body) Buffered() int {
	if b.chunked || b.over.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(min(b.left, int64(len(b.turn.in.b))))
}

// takeRest receives, of one that nobody reads yet, the rest of what has come in part with the head, where that fits behind it and has come too: small content
// that is a little longer than what is read at once.
func (b *body) takeRest() {
	in := &b.turn.in
	now, can := b.conn.net.(atOnce)
	if can && !b.isHere() && !b.chunked && !b.expected && b.left <= inBytes && in.holds(int(b.left)-len(in.b)) {
		in.fillAtOnce(now)
	}
}

// isHere tells, of one that nobody reads yet, whether all of it was received.
func (b *body) isHere() bool { return !b.chunked && b.left <= int64(len(b.turn.in.b)) }

// Close ends the use of the body. What is unread is the server's matter.
func (b *body) Close() error {
	b.over.Store(true)
	return nil
}

func (b *body) read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !b.asked {
		b.asked = true
		if b.expected {
			b.turn.response.proceed()
		}
	}
	if b.chunked {
		n, err = b.readChunk(p)
	} else {
		n, err = b.readLength(p)
	}
	switch {
	case err == io.EOF: //nolint:errorlint // our own
		b.conn.readWhole(b.conn.server.now())
	case err != nil && !b.mayGoOn(err):
		b.conn.leave()
	default:
		return n, err
	}
	b.err = err
	return n, err
}

// mayGoOn tells whether err is that of a deadline that the handler has set itself, which
// it may set anew.
func (b *body) mayGoOn(err error) bool { return timedOut(err) }

// readLength reads content whose length is known, and never a byte of what follows.
func (b *body) readLength(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.receive(p)
	b.left -= int64(n)
	if b.left == 0 {
		return n, io.EOF
	}
	return n, unexpected(err)
}

// receive reads what was received before, or else from the client.
func (b *body) receive(p []byte) (int, error) {
	in := &b.turn.in
	if len(in.b) > 0 {
		n := copy(p, in.b)
		in.skip(n)
		return n, nil
	}
	in.giveBack() // for it is empty, and what is waited for may be long in coming
	return b.await(p)
}

// fill receives more into the inlet.
func (b *body) fill() error {
	n, err := b.await(nil)
	if n > 0 {
		return nil
	}
	return unexpected(err)
}

// await reads from the client into p, or into the inlet where that is nil, and sees to it that it
// keeps its rate. Only the time that is spent waiting for it counts.
func (b *body) await(p []byte) (int, error) {
	c := b.conn
	rate := c.server.options.BodyRate
	if rate <= 0 {
		n, _, err := b.readOn(p, true)
		return n, err
	}
	begun := c.server.now()
	c.expect(inBody, begun+int64(b.pace.Left()))
	n, late, err := b.readOn(p, false)
	c.expect(nothing, 0)
	if late {
		c.slow(ContentTooSlow)
		return 0, c.broken(ContentTooSlow)
	}
	b.pace.Waited(c.server.since(begun), int64(n), rate)
	return n, err
}

// readOn reads until something comes, or the connection fails, or the sweep finds that it is late. The
// sweep may also have ended the wait for a head that was over; unbound, it has no other reason.
func (b *body) readOn(p []byte, unbound bool) (n int, late bool, err error) {
	for {
		n, err = b.take(p)
		if n > 0 {
			return n, false, err
		}
		phase, woken := b.conn.woken(err)
		if !woken {
			return 0, false, err
		}
		if phase != wentOn && !unbound {
			return 0, true, err
		}
	}
}

func (b *body) take(p []byte) (int, error) {
	if p == nil {
		return b.turn.in.fill(b.conn.net)
	}
	return b.conn.net.Read(p)
}

// broken notes why nothing is read any more.
func (c *Conn) broken(reason Reason) error {
	f := reason.Fault()
	c.fault.Store(f)
	return f
}

// readChunk reads from chunks. Data goes straight to p where none was received before.
func (b *body) readChunk(p []byte) (int, error) {
	in := &b.turn.in
	for {
		if b.chunks.state == data {
			return b.readData(p)
		}
		n, reason := b.chunks.toData(in.b)
		if reason != OK {
			return 0, b.conn.broken(reason)
		}
		in.skip(n)
		switch {
		case b.chunks.Done():
			return 0, b.readTrailer()
		case b.chunks.state == data:
		default:
			if err := b.fill(); err != nil {
				return 0, err
			}
		}
	}
}

func (b *body) readData(p []byte) (int, error) {
	if int64(len(p)) > b.chunks.left {
		p = p[:b.chunks.left]
	}
	n, err := b.receive(p)
	_, _ = b.chunks.Scan(p[:n]) // data of any kind is valid
	return n, unexpected(err)
}

// readTrailer receives the trailer section, and gives io.EOF when it is valid.
func (b *body) readTrailer() error {
	in := &b.turn.in
	for {
		end, reason := trailerEnd(in.b)
		if reason == OK && end > 0 {
			reason = CheckTrailer(in.b[:end], b.conn.server.options.Limits)
		}
		if reason == OK && (end > maxTrailer || end == 0 && len(in.b) >= maxTrailer) {
			reason = TrailerTooLarge
		}
		if reason != OK {
			return b.conn.broken(reason)
		}
		if end > 0 {
			b.takeTrailer(string(in.b[:end]))
			in.skip(end)
			return io.EOF
		}
		if err := b.fill(); err != nil {
			return err
		}
	}
}

// takeTrailer puts what came in the place of what was announced. What was not announced
// reaches nobody, for the request may have been copied without a place for it.
func (b *body) takeTrailer(section string) {
	if b.trailer == nil {
		return
	}
	fillTrailer(b.trailer, section)
}

// fillTrailer puts the fields of a section into a trailer. Where that is lines, they take the
// place of what was announced.
func fillTrailer(trailer http.Header, section string) {
	if lines := exchange.LinesOf(trailer); lines != nil {
		lines.Put(nil)
	}
	head := exchange.MapHead(trailer)
	for name, value := range fieldLines(section) {
		head.Add(textproto.TrimString(name), value)
	}
}

// unexpected is err where more content was to come.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// willNotCome tells that the client waits to be asked for content that nobody wants, or has
// more of it than anybody will read.
func (b *body) willNotCome() bool {
	if !b.mu.TryLock() {
		return false // somebody reads it
	}
	defer b.mu.Unlock()
	return b.err == nil && (b.expected && !b.asked || !b.chunked && b.left > drainBytes)
}

// left is how much of the content of a request nobody has read.
type left uint8

const (
	none    left = iota
	some         // that may be read for the sake of the connection
	tooMuch      // or will not come
)

// drainBytes is how much is read of what a handler has left, so that the connection can
// be used again.
const drainBytes = 256 << 10

// endBody takes the body from whoever reads it.
func (c *Conn) endBody(t *turn) left {
	b := t.body
	if b == nil {
		return none
	}
	b.over.Store(true)
	if !b.mu.TryLock() {
		_ = c.setReadDeadline(past) // whoever reads it waits for a client that has its answer
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	c.expect(nothing, 0)
	switch {
	case errors.Is(b.err, io.EOF):
		return none
	case b.err == nil && !b.chunked && b.left == 0:
		return none
	case b.err != nil && !timedOut(b.err), b.expected && !b.asked, !b.chunked && b.left > drainBytes:
		return tooMuch
	default:
		return some
	}
}

// drain reads what is left of a request that was answered.
func (c *Conn) drain(t *turn) after {
	b := t.body
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := io.Copy(io.Discard, io.LimitReader(reader(b.read), drainBytes))
	if err != nil || n == drainBytes && b.err == nil {
		return lingers
	}
	return goesOn
}

// reader is a function that reads.
type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
