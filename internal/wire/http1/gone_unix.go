//go:build unix

package http1

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const asksSockets = true

// largestAlert is more than an alert of TLS takes, which is what a client says last, and
// less than any request does.
const largestAlert = 40

// isEnding tells whether the other end has closed its sending side, whatever is left to be read, as far as
// the system tells that.
func isEnding(socket syscall.RawConn) bool {
	ends := true
	if socket == nil || socket.Control(func(fd uintptr) { ends = isHalfClosed(int(fd)) }) != nil {
		return true
	}
	return ends
}

// hasLeft tells whether the other end has closed its sending side, and nothing that it
// sent is left to read, an alert of TLS apart.
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
