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

// body is the content of a request. It is never reused: a transport may read from it after the handler has returned,
// and then gets an error.
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
	asked   bool        // the client need not be asked any more
	over    atomic.Bool // nobody may read it any more
}

// Read reads a piece of the content. If the content breaks its framing, or the client sends too slowly, the error is a
// *fault.Fault.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

// Buffered returns how many bytes of the content can be read without waiting for the client. Nobody else may be reading
// the body yet.
func (b *body) Buffered() int {
	if b.chunked || b.over.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(min(b.left, int64(len(b.turn.in.b))))
}

// takeRest receives the rest of content of which a part has come with the head, if the rest fits behind that part and
// has arrived too: small content that is a little longer than what is read at once. Nobody may be reading the body yet.
func (b *body) takeRest() {
	in := &b.turn.in
	now, can := b.conn.net.(atOnce)
	if can && !b.isHere() && !b.chunked && !b.expected && b.left <= inBytes && in.holds(int(b.left)-len(in.b)) {
		in.fillAtOnce(now)
	}
}

// isHere reports whether all of the content was received. Nobody may be reading the body yet.
func (b *body) isHere() bool { return !b.chunked && b.left <= int64(len(b.turn.in.b)) }

// Close ends the use of the body. The server deals with what is unread.
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

// mayGoOn reports whether err comes from a deadline that the handler has set itself, which it may set anew.
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

// receive returns what was received before, or else reads from the client.
func (b *body) receive(p []byte) (int, error) {
	in := &b.turn.in
	if len(in.b) > 0 {
		n := copy(p, in.b)
		in.skip(n)
		return n, nil
	}
	in.giveBack() // it is empty, and the wait may be long
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

// await reads from the client into p, or into the inlet if p is nil, and enforces the rate that the client must keep.
// Only the time that is spent waiting for the client counts.
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

// readOn reads until something arrives, the connection fails, or the sweep finds the client late. The sweep may also
// have ended an earlier wait for a head, which was over by then; if unbound, it has no other reason.
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

// broken records and returns why nothing is read any more.
func (c *Conn) broken(reason Reason) error {
	f := reason.Fault()
	c.fault.Store(f)
	return f
}

// readChunk reads from chunks. Data is read straight into p if none was received before.
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

// readTrailer receives the trailer section, and returns io.EOF when it is valid.
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

// takeTrailer replaces what was announced with what came. If nothing was announced, the section is dropped, because the
// request may have been copied without a place for it.
func (b *body) takeTrailer(section string) {
	if b.trailer == nil {
		return
	}
	fillTrailer(b.trailer, section)
}

// fillTrailer puts the fields of a section into a trailer. If the trailer is lines, they replace what was announced.
func fillTrailer(trailer http.Header, section string) {
	if lines := exchange.LinesOf(trailer); lines != nil {
		lines.Put(nil)
	}
	head := exchange.MapHead(trailer)
	for name, value := range fieldLines(section) {
		head.Add(textproto.TrimString(name), value)
	}
}

// unexpected returns err when more content was to come: io.ErrUnexpectedEOF in place of io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// willNotCome reports whether the client waits to be asked for content that nobody wants, or has more of it than the
// server will read.
func (b *body) willNotCome() bool {
	if !b.mu.TryLock() {
		return false // it is being read
	}
	defer b.mu.Unlock()
	return b.err == nil && (b.expected && !b.asked || !b.chunked && b.left > drainBytes)
}

// left says how much of the content of a request is unread.
type left uint8

const (
	none    left = iota
	some         // so little that it may be read to keep the connection
	tooMuch      // or it will not come
)

// drainBytes is how much is read of what a handler has left, so that the connection can be reused.
const drainBytes = 256 << 10

// endBody takes the body from any goroutine that reads it, and returns how much is unread.
func (c *Conn) endBody(t *turn) left {
	b := t.body
	if b == nil {
		return none
	}
	b.over.Store(true)
	if !b.mu.TryLock() {
		_ = c.setReadDeadline(past) // its reader waits for a client that has its answer
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
