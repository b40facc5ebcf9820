//go:build unix

package http1

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Peek asks a connection, without reading from it, whether anything has arrived that is still unread. It is for one
// goroutine, and must not be copied once it has asked.
type Peek struct {
	socket syscall.RawConn // nil: it cannot be asked
	ask    func(fd uintptr)
	asked  [1]unix.PollFd
	quiet  bool
}

// NewPeek makes a Peek for a connection, below its TLS.
func NewPeek(c net.Conn) Peek { return Peek{socket: socketOf(c)} }

// Asks reports whether the connection can be asked.
func (p *Peek) Asks() bool { return p.socket != nil }

// IsQuiet reports whether neither bytes nor an end have arrived. It returns false if the connection cannot be asked.
func (p *Peek) IsQuiet() bool {
	if p.socket == nil {
		return false
	}
	if p.ask == nil {
		p.ask = p.poll // made once, as each costs an allocation
	}
	p.quiet = false
	return p.socket.Control(p.ask) == nil && p.quiet
}

func (p *Peek) poll(fd uintptr) {
	p.asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(p.asked[:], 0)
	p.quiet = err == nil && n == 0
}
