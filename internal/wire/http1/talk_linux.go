//go:build !race && !386

package http1

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call on a socket that does not block returns at once, so the runtime need not be told of it. If it were, it would
// take the processor away from a goroutine that stays in a call for long, such as, under load, a Write that delivers to
// the other side itself, and would have to wake another thread. In a process that was just idle, it would first have to
// wake its monitor.
//
// recv and send, which exist only for sockets, bypass what the system does for files of every kind: a sixth of the cost
// of a call that finds nothing, and some code that need not be fetched. If nobody reads any more there is no signal, as
// with Go's own calls.

func readNow(fd int, p []byte) (int, syscall.Errno) { return callNow(syscall.SYS_RECVFROM, fd, p, 0) }
func writeNow(fd int, p []byte) (int, syscall.Errno) {
	return callNow(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

// callNow calls the system; p must not be empty.
func callNow(call uintptr, fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0) //nolint:gosec // as syscall.Read does it
	return int(n), errno
}

// pollOnce asks several sockets at once and does not wait.
func pollOnce(asked []unix.PollFd) syscall.Errno {
	var atOnce syscall.Timespec
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&asked[0])), uintptr(len(asked)), uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0) //nolint:gosec // as above
	return errno
}

// pair is memory for passing two pieces to the system in one call.
type pair struct {
	message syscall.Msghdr
	pieces  [2]syscall.Iovec
}

// writeNow writes as much of a, and then of b, as goes at once; neither may be empty.
func (both *pair) writeNow(fd int, a, b []byte) int {
	both.pieces[0].Base, both.pieces[1].Base = &a[0], &b[0]
	both.pieces[0].SetLen(len(a))
	both.pieces[1].SetLen(len(b))
	both.message.Iov, both.message.Iovlen = &both.pieces[0], 2
	defer func() { *both = pair{} }()
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&both.message)), syscall.MSG_NOSIGNAL) //nolint:gosec // as above
		if errno != syscall.EINTR {
			return max(0, int(n))
		}
	}
}
