//go:build unix

package http1

import (
	"net"
	"syscall"
)

// AtOnce writes what a socket takes at once, for who has to know which bytes are waited for. It is not safe for concurrent
// use, and not copied once it has written.
type AtOnce struct {
	raw   syscall.RawConn // nil: nothing goes at once
	write func(fd uintptr) bool
	p     []byte
	n     int
}

// NewAtOnce makes one for a connection, which must be a socket itself.
func NewAtOnce(c net.Conn) AtOnce { return AtOnce{raw: socketItself(c)} }

// Write writes as much of p as goes at once. Where that is not all, a Write of the connection waits for the rest, or tells
// why none of it goes.
func (a *AtOnce) Write(p []byte) int {
	if a.raw == nil || len(p) == 0 {
		return 0
	}
	if a.write == nil {
		a.write = a.try // made once, for each costs an allocation
	}
	a.p, a.n = p, 0
	_ = a.raw.Write(a.write) // who waits learns of it
	a.p = nil
	return a.n
}

func (a *AtOnce) try(fd uintptr) bool {
	a.n, _ = ignoringSignals(writeNow, int(fd), a.p)
	return true
}
