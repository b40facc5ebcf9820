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

// Socket reads and writes where a connection does, but does not tell the runtime of its calls; see talk_linux.go. It is
// safe for concurrent use, as its connection is.
type Socket struct {
	conn net.Conn
	raw  syscall.RawConn // nil: there is none
}

// NewSocket returns the Socket of a connection, which must be a socket itself.
func NewSocket(c net.Conn) Socket { return Socket{conn: c, raw: socketItself(c)} }

// socketItself returns the socket that a connection is. It returns nil if the connection stands above a socket, which
// must not be bypassed, or if the socket cannot be obtained.
func socketItself(c net.Conn) syscall.RawConn {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return socketOf(c)
	default:
		return nil
	}
}

// Exists reports whether there is a socket.
func (s *Socket) Exists() bool { return s.raw != nil }

// Read reads as the connection does; the connection's deadlines apply. There must be a socket.
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

// ReadNow reads what has arrived, as far as it fits, and returns 0 if nothing has, or there is no socket. A Read of the
// connection then waits, or reports that nothing comes, but not always why: the system reports a reset once, and after
// that an end.
func (s *Socket) ReadNow(p []byte) int {
	if s.raw == nil || len(p) == 0 {
		return 0
	}
	e := newErrand(p)
	defer e.done()
	if s.raw.Read(e.readNow) != nil {
		return 0 // a call that waits gets the error
	}
	return e.n
}

// WriteNow writes as much of p, and then of more, as goes at once, for callers that must know which bytes are left. If
// some are, a Write of the connection waits until they go, or says why none of them does.
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
		return 0 // a call that waits gets the error
	}
	return e.n
}

// failed returns err as the connection would report it.
func (s *Socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: s.conn.LocalAddr().Network(), Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: err}
}

// errand is one call and its parameters. A connection that waits for nothing has none.
type errand struct {
	p     []byte
	more  []byte // what is written after p
	both  pair   // p and more, as the system takes them
	n     int
	errno syscall.Errno

	read, readNow, write func(fd uintptr) bool // its methods, made once as each costs an allocation
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

// tryRead returns false if it is to be called again when something has arrived.
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
