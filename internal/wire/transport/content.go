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

// ReadFrom sends what r gives until its end (io.ReaderFrom). net/http's Transport
// would take 32 KB for each request that has content.
func (c *countedConn) ReadFrom(r io.Reader) (sent int64, err error) {
	much := false // comes at a time
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

// sendOne sends what one Read into piece gives. The error of the Read comes after
// what it gave.
func (c *countedConn) sendOne(r io.Reader, piece []byte) (sent int, err error) {
	n, readErr := r.Read(piece)
	if n > 0 {
		if sent, err = c.Write(piece[:n]); err != nil {
			return sent, err
		}
	}
	return sent, readErr
}

// content is what is sent, where that comes in pieces. When the connection or stream is lost, net/http waits for
// the end of a Read before it says so. Where the client waits for an answer, that Read may last for ever.
type content struct {
	io.ReadCloser

	attempt *attempt
	reading atomic.Bool
	lost    atomic.Pointer[error] // why the connection was, over HTTP/1.1; nil: it is not
}

// severable is a body that can end a Read, whatever that waits for, as its connection is lost.
type severable interface{ Sever() }

func isSeverable(body io.Reader) bool {
	_, ok := body.(severable)
	return ok
}

func (c *content) Read(p []byte) (int, error) {
	c.reading.Store(true) // before lost is looked at: severed does it the other way round
	defer c.reading.Store(false)
	if err := c.lost.Load(); err != nil {
		return 0, *err
	}
	return c.ReadCloser.Read(p)
}

// severed is told that the connection is lost. Where a response has begun, that may be for its end. What waits
// while nothing was sent goes on: net/http looks whether there is any content, and not for long.
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

// follow has the content told when conn is lost, until there is a response.
func (c *content) follow(conn *countedConn) {
	conn.tells.Store(c)
	if conn.ended.Load() {
		c.severed(conn, io.ErrUnexpectedEOF)
	}
}

// Close has net/http wait no longer over HTTP/2, where content was waited for and no response has begun: it gives the error that
// the stream has failed with.
func (c *content) Close() error {
	err := c.ReadCloser.Close()
	if a := c.attempt; a.multi && !c.needless() {
		go a.course.wakeUntil(c.needless) // net/http may wait for Close before it does for the Read
	}
	return err
}

// needless tells whether net/http does not wait for a Read, or not in vain.
func (c *content) needless() bool { return !c.reading.Load() || c.attempt.answered.Load() }
