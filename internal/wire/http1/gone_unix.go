//go:build unix

package http1

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const asksSockets = true

// largestAlert is more than a TLS alert takes, which is the last thing that a client sends, and less than any request
// does.
const largestAlert = 40

// isEnding reports whether the other end has closed its sending side, even if something is still unread, as far as the
// system tells.
func isEnding(socket syscall.RawConn) bool {
	ends := true
	if socket == nil || socket.Control(func(fd uintptr) { ends = isHalfClosed(int(fd)) }) != nil {
		return true
	}
	return ends
}

// hasLeft reports whether the other end has closed its sending side, and nothing that it sent is left to read except a
// TLS alert.
func hasLeft(socket syscall.RawConn, secured bool) bool {
	left := false
	err := socket.Control(func(fd uintptr) {
		var piece [largestAlert + 1]byte
		n, _, err := unix.Recvfrom(int(fd), piece[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil || n == 0:
			left = true
		case secured && n <= largestAlert:
			left = isHalfClosed(int(fd))
		}
	})
	return left || err != nil
}
