//go:build unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// spoken tells whether there is something to read on a connection, or its end, that nobody has read yet. On
// one that is kept and unused it can only be that its other side leaves. It waits for nothing.
func spoken(c net.Conn) bool {
	system, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	quiet := false
	err = raw.Control(func(fd uintptr) { // not Read, which would wait for the one that is under way
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	})
	return err != nil || !quiet
}
