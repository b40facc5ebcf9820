//go:build !unix

package http1

import "net"

// AtOnce would write what a socket takes at once, which is not done here.
type AtOnce struct{}

// NewAtOnce makes one.
func NewAtOnce(net.Conn) AtOnce { return AtOnce{} }

// Write writes nothing.
func (*AtOnce) Write([]byte) int { return 0 }
