package transport

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// body is a response's body that says where it failed and when it ended.
type body struct {
	io.ReadCloser

	attempt *attempt
	rest    time.Duration // how long the connection may be unused afterwards; negative: as long as the pool keeps it
	onEnd   exchange.Ending
	late    bool // see Late
	closed  atomic.Bool
	ended   atomic.Bool
}

// OnEnd sets what is called when the body has ended, one way or another: how is io.EOF if it came to its end, nil if it
// was closed before, and otherwise why it broke off.
func (b *body) OnEnd(e exchange.Ending) { b.onEnd = e }

// Late reports whether the response is a 408 that ends a kept connection. The endpoint may have sent it because no
// request had come, before this one arrived (RFC 9110 section 15.5.9).
func (b *body) Late() bool { return b.late }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF { //nolint:errorlint // io.Reader gives it bare
		b.end(io.EOF)
		return n, io.EOF
	}
	err = b.failed(err)
	if !b.closed.Load() { // otherwise it fails because of Close
		b.end(err)
	}
	return n, err
}

func (b *body) Close() error {
	b.closed.Store(true)
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}

func (b *body) failed(err error) error {
	e := b.attempt.sendError(err)
	e.Sent, e.GoAway = exchange.SentHeadSeen, false
	return e
}

func (b *body) end(how error) {
	if b.ended.Swap(true) {
		return
	}
	if b.attempt.cancel != nil {
		b.attempt.cancel(nil)
	}
	if b.rest >= 0 && b.attempt.conn != nil {
		b.attempt.conn.rest.begin(b.attempt.use, b.rest, b.attempt.conn)
	}
	if b.onEnd != nil {
		b.onEnd.Ended(how)
	}
}

// tunnel is the body of a 101 response: the connection itself. It ends when it is closed, because the other direction
// may go on after a read has ended.
type tunnel struct {
	body   *body
	duplex io.ReadWriteCloser
}

// OnEnd sets what is called when the tunnel was closed.
func (t *tunnel) OnEnd(e exchange.Ending) { t.body.OnEnd(e) }

func (t *tunnel) Read(p []byte) (int, error)  { return t.duplex.Read(p) }
func (t *tunnel) Write(p []byte) (int, error) { return t.duplex.Write(p) }

func (t *tunnel) Close() error { return t.body.Close() }

// CloseWrite ends the sending direction; the endpoint reads EOF.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.duplex.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
