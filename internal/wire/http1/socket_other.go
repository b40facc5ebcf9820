//go:build !unix

package http1

import "net"

// Socket would pass a connection by, which is not done here.
type Socket struct{}

// NewSocket gives none.
func NewSocket(net.Conn) Socket { return Socket{} }

// Exists tells whether there is one.
func (*Socket) Exists() bool { return false }

// ReadNow reads nothing.
func (*Socket) ReadNow([]byte) int { return 0 }

// Read is never called.
func (*Socket) Read([]byte) (int, error) { return 0, net.ErrClosed }

// WriteNow writes nothing.
func (*Socket) WriteNow(_, _ []byte) int { return 0 }
