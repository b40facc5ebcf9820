package websocket

import (
	"errors"
	"io"
)

// pipe is the proxy's end of a connection: what it writes comes of the client, and what it reads
// goes there. It is at its end when the session has ended, with the function that is told of it.
type pipe struct {
	in    *io.PipeWriter // what the client says
	out   *io.PipeReader // what the session says
	gone  func()         // tells that the client is gone
	ended <-chan struct{}
}

// errEnded is no io.EOF, for the client's direction has ended, too.
var errEnded = errors.New("the connection has ended")

// Read gives what the session says. At its end it waits for the session, so that
// whatever serves the connection lives as long.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err != nil {
		<-p.ended
		err = errEnded
	}
	return n, err //nolint:wrapcheck // it is only passed on
}

// Write passes on what the client says.
func (p *pipe) Write(b []byte) (int, error) { return p.in.Write(b) } //nolint:wrapcheck // it is only passed on

// CloseWrite tells that the client says no more.
func (p *pipe) CloseWrite() error { return p.in.Close() } //nolint:wrapcheck // it never fails

// Close tells that the connection is gone.
func (p *pipe) Close() error {
	_ = p.in.CloseWithError(io.ErrUnexpectedEOF) // never fails
	_ = p.out.CloseWithError(io.ErrClosedPipe)   // never fails
	p.gone()
	return nil
}
