//go:build unix && (!linux || race || 386)

package http1

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The runtime is told of these calls, because the race detector sees only such calls. Where recv and send are not
// system calls of their own, they gain nothing.

func readNow(fd int, p []byte) (int, syscall.Errno) {
	n, err := syscall.Read(fd, p)
	errno, _ := err.(syscall.Errno) //nolint:errorlint // it gives no others
	return n, errno
}

func writeNow(fd int, p []byte) (int, syscall.Errno) {
	n, err := syscall.Write(fd, p)
	errno, _ := err.(syscall.Errno) //nolint:errorlint // it gives no others
	return n, errno
}

// pollOnce asks several sockets at once and does not wait.
func pollOnce(asked []unix.PollFd) syscall.Errno {
	_, err := unix.Poll(asked, 0)
	errno, _ := err.(syscall.Errno) //nolint:errorlint // it gives no others
	return errno
}

// pair writes two pieces.
type pair struct{}

// writeNow writes as much of a, and then of b, as goes at once; neither may be empty.
func (pair) writeNow(fd int, a, b []byte) int {
	n, _ := ignoringSignals(writeNow, fd, a)
	if n == len(a) {
		m, _ := ignoringSignals(writeNow, fd, b)
		n += m
	}
	return n
}
