//go:build !unix

package http1

import "net"

// Peek would ask a connection whether anything has come, which cannot be done here: our own client
// uses no connection twice.
type Peek struct{}

// NewPeek makes one.
func NewPeek(net.Conn) Peek { return Peek{} }

// Asks tells that the connection cannot be asked.
func (*Peek) Asks() bool { return false }

// IsQuiet tells nothing.
func (*Peek) IsQuiet() bool { return false }
