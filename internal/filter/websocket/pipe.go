package websocket

import (
	"errors"
	"io"
)

// pipe is the proxy's end of a connection: the proxy writes what the client sends, and reads what goes to the client.
// It ends when the session has ended and the function has been notified.
type pipe struct {
	in    *io.PipeWriter // from the client
	out   *io.PipeReader // from the session
	gone  func()         // reports that the client is gone
	ended <-chan struct{}
}

// errEnded is returned instead of io.EOF, because the client's direction has ended, too.
var errEnded = errors.New("the connection has ended")

// Read returns what the session sends. At its end it waits for the session, so that the goroutine that serves the
// connection lives as long.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err != nil {
		<-p.ended
		err = errEnded
	}
	return n, err //nolint:wrapcheck // it is only passed on
}

// Write passes on what the client sends.
func (p *pipe) Write(b []byte) (int, error) { return p.in.Write(b) } //nolint:wrapcheck // it is only passed on

// CloseWrite tells the session that the client sends no more.
func (p *pipe) CloseWrite() error { return p.in.Close() } //nolint:wrapcheck // it never fails

// Close tells the session that the connection is gone.
func (p *pipe) Close() error {
	_ = p.in.CloseWithError(io.ErrUnexpectedEOF) // never fails
	_ = p.out.CloseWithError(io.ErrClosedPipe)   // never fails
	p.gone()
	return nil
}
