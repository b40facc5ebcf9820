//go:build unix

package http1

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peek asks a socket, without reading from it, whether anything has come.
type peek struct {
	socket syscall.RawConn // nil: it cannot be asked
	ask    func(fd uintptr)
	asked  [1]unix.PollFd
	quiet  bool
}

// isQuiet tells whether neither bytes nor an end have come. What cannot be asked is not.
func (p *peek) isQuiet() bool {
	if p.socket == nil {
		return false
	}
	if p.ask == nil {
		p.ask = p.poll // made once, for each costs an allocation
	}
	p.quiet = false
	return p.socket.Control(p.ask) == nil && p.quiet
}

func (p *peek) poll(fd uintptr) {
	p.asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(p.asked[:], 0)
	p.quiet = err == nil && n == 0
}
