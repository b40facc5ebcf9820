//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// talk sends on a socket, and receives what comes then, within one use of the socket. A net.Conn tries to read before
// it waits, which finds nothing after a Write, and before the Write it must be asked whether it is quiet. A talk does
// all three between two looks of the runtime's poller, so that none of them is wasted.
type talk struct {
	socket Socket
	letter letter // is what an outbox sends

	// Its methods, made once, as each costs an allocation.
	step func(fd uintptr) bool
	hold func(fd uintptr)

	// The run that is under way.
	out, in     []byte
	sent        bool // out was sent, or as much of it as went at once
	noisy       bool
	posted      bool // out is sent by an outbox
	err         error
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
	t.begin(out, in, false)
	return t.end(t.socket.raw.Read(t.step))
}

// post is run by way of an outbox. With always, out is sent even if the connection is not quiet, and then nothing is
// received. If wasRecalled reports true afterwards, the connection's deadline for reading has to be set anew.
func (t *talk) post(out, in []byte, always bool) (quiet bool, wrote, came int, err error) {
	t.begin(out, in, true)
	t.letter.always = always
	if err := t.socket.raw.Control(t.hold); err != nil {
		return t.end(err)
	}
	return t.end(t.err)
}

// wasRecalled reports whether the deadline for reading was set to the past in the last run.
func (t *talk) wasRecalled() bool { return t.posted && t.sent && t.letter.back }

func (t *talk) begin(out, in []byte, posted bool) {
	if t.step == nil {
		t.step, t.hold, t.letter.recall = t.next, t.holding, t.recall
	}
	t.out, t.in, t.posted, t.sent, t.noisy, t.wrote, t.came, t.errno, t.err = out, in, posted, false, false, 0, 0, 0, nil
}

// holding runs while the socket is held, so that it stays the same until the letter was sent: a Read ends at once when
// the connection is closed.
func (t *talk) holding(uintptr) {
	t.err = t.socket.raw.Read(t.step)
	if !t.sent {
		return
	}
	l := &t.letter
	l.await()
	t.noisy, t.wrote, l.out = l.noisy, l.wrote, nil
	if l.back && timedOut(t.err) {
		t.err = nil
	}
}

// end returns the results of a run that has ended with err.
func (t *talk) end(err error) (quiet bool, wrote, came int, _ error) {
	whole := t.wrote == len(t.out)
	t.out, t.in, t.err = nil, nil, nil
	switch {
	case err != nil || t.noisy || !whole:
	case t.errno != 0:
		err = t.socket.failed("read", os.NewSyscallError("read", t.errno))
	case t.came == 0:
		err = io.EOF
	}
	return !t.noisy, t.wrote, t.came, err
}

// recall ends the wait of a run.
func (t *talk) recall() { _ = t.socket.conn.SetReadDeadline(past) } // if the connection is closed, the wait has ended

// next does what can be done now, and reports whether that was all. If not, it is called again when something has
// arrived.
func (t *talk) next(fd uintptr) bool {
	switch {
	case t.sent:
		return t.receive(fd)
	case t.posted:
		t.sent = true
		t.letter.fd, t.letter.out = int(fd), t.out
		t.letter.post()
		return false
	}
	if _, errno := ignoringSignals(readNow, int(fd), t.in); errno != syscall.EAGAIN {
		t.noisy = true
		return true
	}
	t.sent = true
	t.wrote, _ = ignoringSignals(writeNow, int(fd), t.out)
	return t.wrote < len(t.out)
}

// receive receives what has arrived. It returns false if that is nothing.
func (t *talk) receive(fd uintptr) bool {
	if t.posted {
		if t.letter.await(); t.letter.back {
			return true // nothing may be received before all was sent
		}
	}
	t.came, t.errno = ignoringSignals(readNow, int(fd), t.in)
	return t.errno != syscall.EAGAIN
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
