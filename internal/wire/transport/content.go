package transport

import (
	"io"
	"sync"
	"sync/atomic"
)

// The content of a request is read in pieces of one of two sizes. While a client
// sends little at a time, the buffer that waits for it is small.
const (
	smallPiece = 2 << 10
	largePiece = 32 << 10
)

var (
	smallPieces = sync.Pool{New: func() any { return new([smallPiece]byte) }}
	largePieces = sync.Pool{New: func() any { return new([largePiece]byte) }}
)

// ReadFrom sends what r returns until its end (io.ReaderFrom). net/http's Transport would take 32 KB for each request
// that has content.
func (c *countedConn) ReadFrom(r io.Reader) (sent int64, err error) {
	much := false // whether much comes at a time
	for {
		n, err := c.sendPiece(r, much)
		sent += int64(n)
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader gives it bare
			return sent, nil
		case err != nil:
			return sent, err
		}
		much = n >= smallPiece
	}
}

func (c *countedConn) sendPiece(r io.Reader, large bool) (sent int, err error) {
	if large {
		piece, _ := largePieces.Get().(*[largePiece]byte)
		defer largePieces.Put(piece)
		return c.sendOne(r, piece[:])
	}
	piece, _ := smallPieces.Get().(*[smallPiece]byte)
	defer smallPieces.Put(piece)
	return c.sendOne(r, piece[:])
}

// sendOne sends what one Read into piece returns. An error of the Read is returned after its data was sent.
func (c *countedConn) sendOne(r io.Reader, piece []byte) (sent int, err error) {
	n, readErr := r.Read(piece)
	if n > 0 {
		if sent, err = c.Write(piece[:n]); err != nil {
			return sent, err
		}
	}
	return sent, readErr
}

// content is the content of a request that comes in pieces. When the connection or stream is lost, net/http waits for
// the end of a Read before it returns the error. If the client waits for an answer, that Read may last for ever.
type content struct {
	io.ReadCloser

	attempt *attempt
	reading atomic.Bool
	lost    atomic.Pointer[error] // why the connection was lost, over HTTP/1.1; nil: it was not
}

// severable is a body that can end a Read, whatever that waits for, because its connection is lost.
type severable interface{ Sever() }

func isSeverable(body io.Reader) bool {
	_, ok := body.(severable)
	return ok
}

func (c *content) Read(p []byte) (int, error) {
	c.reading.Store(true) // before lost is read: severed does it the other way round
	defer c.reading.Store(false)
	if err := c.lost.Load(); err != nil {
		return 0, *err
	}
	return c.ReadCloser.Read(p)
}

// severed is called when the connection is lost. It does nothing if a response has begun, because the cause may be the
// end of that response. A Read that waits while nothing was sent goes on: net/http checks whether there is any content,
// and not for long.
func (c *content) severed(conn *countedConn, err error) {
	if c.attempt.answered.Load() {
		return
	}
	c.lost.CompareAndSwap(nil, &err)
	if conn.wrote.Load() == c.attempt.before {
		return
	}
	if body, ok := c.ReadCloser.(severable); ok && c.reading.Load() {
		body.Sever()
	}
}

// follow makes conn call severed when it is lost, until there is a response.
func (c *content) follow(conn *countedConn) {
	conn.tells.Store(c)
	if conn.ended.Load() {
		c.severed(conn, io.ErrUnexpectedEOF)
	}
}

// Close makes net/http stop waiting over HTTP/2, if it waits for content and no response has begun: net/http then
// returns the error that the stream has failed with.
func (c *content) Close() error {
	err := c.ReadCloser.Close()
	if a := c.attempt; a.multi && !c.needless() {
		go a.course.wakeUntil(c.needless) // net/http may wait for Close before it waits for the Read
	}
	return err
}

// needless reports whether net/http does not wait for a Read, or does not wait for it in vain.
func (c *content) needless() bool { return !c.reading.Load() || c.attempt.answered.Load() }
