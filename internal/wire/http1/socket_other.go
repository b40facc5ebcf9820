//go:build !unix

package http1

import "net"

// Socket is a stub: on this system a connection is never bypassed.
type Socket struct{}

// NewSocket returns a Socket that does not exist.
func NewSocket(net.Conn) Socket { return Socket{} }

// Exists returns false.
func (*Socket) Exists() bool { return false }

// ReadNow reads nothing.
func (*Socket) ReadNow([]byte) int { return 0 }

// Read is never called.
func (*Socket) Read([]byte) (int, error) { return 0, net.ErrClosed }

// WriteNow writes nothing.
func (*Socket) WriteNow(_, _ []byte) int { return 0 }
