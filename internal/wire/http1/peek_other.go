//go:build !unix

package http1

import "net"

// Peek is a stub: on this system a connection cannot be asked whether anything has arrived. Our own client therefore
// uses no connection twice.
type Peek struct{}

// NewPeek makes a Peek.
func NewPeek(net.Conn) Peek { return Peek{} }

// Asks returns false: the connection cannot be asked.
func (*Peek) Asks() bool { return false }

// IsQuiet returns false.
func (*Peek) IsQuiet() bool { return false }
