//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// talk sends on a socket on which nothing has arrived, and receives what comes then, within one use of the socket. A
// net.Conn tries to read before it waits, which finds nothing after a Write, and before the Write it must be asked
// whether it is quiet. A talk does all three between two looks of the runtime's poller, so that none of them is wasted.
type talk struct {
	socket Socket
	step   func(fd uintptr) bool

	// The run that is under way.
	out, in     []byte
	sent        bool // out was sent, or as much of it as went at once
	noisy       bool
	wrote, came int
	errno       syscall.Errno // from receiving
}

// newTalk makes a talk for a connection.
func newTalk(c net.Conn) talk { return talk{socket: NewSocket(c)} }

// isPossible reports whether there is a socket to talk on.
func (t *talk) isPossible() bool { return t.socket.Exists() }

// run sends out and receives the beginning of the answer into in. Nothing is sent if the connection is not quiet. If
// wrote is less than the length of out, the caller must send the rest, and nothing was received. The error is about
// receiving.
func (t *talk) run(out, in []byte) (quiet bool, wrote, came int, err error) {
	if t.step == nil {
		t.step = t.next // made once, as each costs an allocation
	}
	t.out, t.in, t.sent, t.noisy, t.wrote, t.came, t.errno = out, in, false, false, 0, 0, 0
	err = t.socket.raw.Read(t.step)
	t.out, t.in = nil, nil
	switch {
	case err != nil || t.noisy || t.wrote < len(out):
	case t.errno != 0:
		err = t.socket.failed("read", os.NewSyscallError("read", t.errno))
	case t.came == 0:
		err = io.EOF
	}
	return !t.noisy, t.wrote, t.came, err
}

// next does what can be done now, and reports whether that was all. If not, it is called again when something has
// arrived.
func (t *talk) next(fd uintptr) bool {
	n, errno := ignoringSignals(readNow, int(fd), t.in)
	waits := errno == syscall.EAGAIN
	switch {
	case t.sent:
		t.came, t.errno = n, errno
		return !waits
	case !waits:
		t.noisy = true
		return true
	}
	t.sent = true
	t.wrote, _ = ignoringSignals(writeNow, int(fd), t.out)
	return t.wrote < len(t.out)
}

// ignoringSignals repeats the call for as long as signals interrupt it. It returns 0 if the call returns no count.
func ignoringSignals(call func(fd int, p []byte) (int, syscall.Errno), fd int, p []byte) (int, syscall.Errno) {
	for {
		n, errno := call(fd, p)
		if errno != syscall.EINTR {
			return max(0, n), errno
		}
	}
}
