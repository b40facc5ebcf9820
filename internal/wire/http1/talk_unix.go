//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// talk sends something on a socket on which nothing has come, and receives what comes then, within one use of it. A net.Conn
// tries to read before it waits, which after a Write finds nothing; and it has to be asked before whether it is quiet.
// A talk does the three between two looks of the runtime's poller, so that none of them is in vain.
type talk struct {
	socket Socket
	step   func(fd uintptr) bool

	// Of the one that is under way.
	out, in     []byte
	sent        bool // or as much of it as went at once
	noisy       bool
	wrote, came int
	errno       syscall.Errno // of receiving
}

// newTalk makes one for a connection.
func newTalk(c net.Conn) talk { return talk{socket: NewSocket(c)} }

// isPossible tells whether there can be one.
func (t *talk) isPossible() bool { return t.socket.Exists() }

// run sends out and receives some of the answer to in. Nothing is sent where the connection is not quiet. Where wrote is
// less than the whole, the rest is for the caller to send, and nothing was received; the error is about receiving.
func (t *talk) run(out, in []byte) (quiet bool, wrote, came int, err error) {
	if t.step == nil {
		t.step = t.next // made once, for each costs an allocation
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

// next does what can be done now, and tells whether that was all. Else it is called again when something has come.
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

// ignoringSignals calls the system until no signal comes in between. It gives 0 where that gives no number.
func ignoringSignals(call func(fd int, p []byte) (int, syscall.Errno), fd int, p []byte) (int, syscall.Errno) {
	for {
		n, errno := call(fd, p)
		if errno != syscall.EINTR {
			return max(0, n), errno
		}
	}
}
