package http2_test

import (
	"io"
	"net"
	"time"
)

var never time.Time

// pieces is a connection whose client sent left in pieces and then half-closed the connection.
type pieces struct {
	net.Conn

	left, sizes []byte
	at          int
}

func (c *pieces) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		return 0, io.EOF
	}
	n := len(c.left)
	if len(c.sizes) > 0 {
		n = min(n, int(c.sizes[c.at%len(c.sizes)])+1)
		c.at++
	}
	n = copy(p, c.left[:n])
	c.left = c.left[n:]
	return n, nil
}

func (c *pieces) SetReadDeadline(time.Time) error { return nil }
func (c *pieces) RemoteAddr() net.Addr            { return nil }
