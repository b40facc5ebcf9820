//go:build unix

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Socket reads and writes where a connection does, but tells the runtime nothing of its calls; see talk_linux.go. It is safe
// for concurrent use, as its connection is.
type Socket struct {
	conn net.Conn
	raw  syscall.RawConn // nil: it is none
}

// NewSocket gives that of a connection, which must be a socket itself.
func NewSocket(c net.Conn) Socket { return Socket{conn: c, raw: socketItself(c)} }

// socketItself gives the socket that a connection is; nil where it stands above one, which must not be passed by, or cannot
// be had.
func socketItself(c net.Conn) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return socketOf(c)
	default:
		return nil
	}
}

// Exists tells whether there is one.
func (s *Socket) Exists() bool { return s.raw != nil }

// Read reads as the connection does, whose deadlines hold. There must be a socket.
func (s *Socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	e := newErrand(p)
	defer e.done()
	if err := s.raw.Read(e.read); err != nil {
		if raw, ok := errors.AsType[*net.OpError](err); ok {
			err = s.failed("read", raw.Err)
		}
		return 0, err //nolint:wrapcheck // as the connection's
	}
	switch {
	case e.errno != 0:
		return 0, s.failed("read", os.NewSyscallError("read", e.errno))
	case e.n == 0:
		return 0, io.EOF
	default:
		return e.n, nil
	}
}

// ReadNow reads what has come, as far as it fits, and gives 0 where that is nothing, or there is no socket. A Read of the connection waits, or tells that
// nothing comes: not always why, for the system tells of a reset once, and of an end afterwards.
func (s *Socket) ReadNow(p []byte) int {
	if s.raw == nil || len(p) == 0 {
		return 0
	}
	e := newErrand(p)
	defer e.done()
	if s.raw.Read(e.readNow) != nil {
		return 0 // who waits learns of it
	}
	return e.n
}

// WriteNow writes as much of p, and then of more, as goes at once, for who has to know which bytes are waited for. Where that is not all, a
// Write of the connection waits for the rest, or tells why none of it goes.
func (s *Socket) WriteNow(p, more []byte) int {
	switch {
	case s.raw == nil:
		return 0
	case len(p) == 0:
		p, more = more, nil
	}
	if len(p) == 0 {
		return 0
	}
	e := newErrand(p)
	e.more = more
	defer e.done()
	if s.raw.Write(e.write) != nil {
		return 0 // who waits learns of it
	}
	return e.n
}

// failed is what the connection would tell of it.
func (s *Socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: s.conn.LocalAddr().Network(), Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: err}
}

// errand is one call, with what it is about: no connection has one while it waits for nothing.
type errand struct {
	p     []byte
	more  []byte // what is written behind it
	both  pair   // the same, as the system takes it
	n     int
	errno syscall.Errno

	read, readNow, write func(fd uintptr) bool // its methods, each of which would cost an allocation
}

var errands = sync.Pool{New: func() any {
	e := new(errand)
	e.read, e.readNow, e.write = e.tryRead, e.tryReadNow, e.tryWrite
	return e
}}

func newErrand(p []byte) *errand {
	e, _ := errands.Get().(*errand)
	e.p, e.n, e.errno = p, 0, 0
	return e
}

func (e *errand) done() {
	e.p, e.more = nil, nil
	errands.Put(e)
}

// tryRead tells false where it is to be called again when something has come.
func (e *errand) tryRead(fd uintptr) bool {
	e.n, e.errno = ignoringSignals(readNow, int(fd), e.p)
	return e.errno != syscall.EAGAIN
}

func (e *errand) tryReadNow(fd uintptr) bool {
	e.n, _ = ignoringSignals(readNow, int(fd), e.p)
	return true
}

func (e *errand) tryWrite(fd uintptr) bool {
	if len(e.more) > 0 {
		e.n = e.both.writeNow(int(fd), e.p, e.more)
	} else {
		e.n, _ = ignoringSignals(writeNow, int(fd), e.p)
	}
	return true
}
