//go:build !race

package http1

import (
	"syscall"
	"unsafe"
)

// A socket that does not block returns at once, so that the runtime need not be told of the call: it would take the
// processor away from who stays in one for long, as under load a Write does that delivers to the other side itself, and
// another thread would have to be woken for it. A process that was idle just now would have its monitor woken first.

func readNow(fd int, p []byte) (int, syscall.Errno)  { return callNow(syscall.SYS_READ, fd, p) }
func writeNow(fd int, p []byte) (int, syscall.Errno) { return callNow(syscall.SYS_WRITE, fd, p) }

// callNow calls the system; p must not be empty.
func callNow(call uintptr, fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))) //nolint:gosec // as syscall.Read does it
	return int(n), errno
}

// pair is room for what two pieces are told to the system in.
type pair [2]syscall.Iovec

// writeNow writes as much of a, and then of b, as goes at once; neither may be empty.
func (both *pair) writeNow(fd int, a, b []byte) int {
	both[0].Base, both[1].Base = &a[0], &b[0]
	both[0].SetLen(len(a))
	both[1].SetLen(len(b))
	defer clear(both[:])
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(both)), uintptr(len(both))) //nolint:gosec // as above
		if errno != syscall.EINTR {
			return max(0, int(n))
		}
	}
}
