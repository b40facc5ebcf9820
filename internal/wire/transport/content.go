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

// content is what is sent over HTTP/2. net/http closes it when a stream has failed, and waits for
// the end of a Read before it says so. Where the client waits for an answer, that Read may last for ever.
type content struct {
	io.ReadCloser

	attempt *attempt
	reading atomic.Bool
}

func (c *content) Read(p []byte) (int, error) {
	c.reading.Store(true)
	defer c.reading.Store(false)
	return c.ReadCloser.Read(p)
}

// Close ends the attempt too, where content was waited for and no response has begun: net/http waits no
// longer then, and gives the error that the stream has failed with.
func (c *content) Close() error {
	err := c.ReadCloser.Close()
	if c.reading.Load() && !c.attempt.answered.Load() {
		c.attempt.cancel(nil)
	}
	return err
}
