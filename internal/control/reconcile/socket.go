package reconcile

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// socket is a bound address. It is lent to one server after the other, so that a new server takes over without the
// address being released: connections that arrive in between wait in the socket's queue.
type socket struct {
	listener net.Listener
	deadline func(time.Time) error // the listener's, which wakes its Accept

	turn sync.Mutex // held by the Accept that is under way
}

func newSocket(l net.Listener) (*socket, error) {
	d, ok := l.(interface{ SetDeadline(t time.Time) error })
	if !ok {
		return nil, fmt.Errorf("a listener of type %T cannot be handed on", l)
	}
	return &socket{listener: l, deadline: d.SetDeadline}, nil
}

// lend lends the socket to a server, as a listener whose Close gives it back. The previous loan must have ended before
// Accept is called on the new one.
func (s *socket) lend() *loan { return &loan{socket: s, empty: make(chan struct{})} }

// close releases the address.
func (s *socket) close() error { return s.listener.Close() }

// loan is a socket while one server has it. It implements net.Listener.
type loan struct {
	socket *socket
	ended  atomic.Bool
	ending sync.Mutex // orders SetDeadline with the end

	last    atomic.Bool // accepts the waiting connections, and then ends
	quiet   atomic.Bool // written before last: no new connections arrive
	empty   chan struct{}
	emptied sync.Once // closes empty, when no connection is waiting any more
}

// Accept returns the next connection, and net.ErrClosed after the end. A connection that arrived while the loan ended
// still belongs to this server, because its client may have sent a request already.
func (l *loan) Accept() (net.Conn, error) {
	l.socket.turn.Lock()
	defer l.socket.turn.Unlock()
	if l.ended.Load() {
		return nil, net.ErrClosed
	}
	c, err := l.socket.listener.Accept()
	switch {
	case err == nil:
		return c, nil
	case l.last.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return l.rest()
	case l.ended.Load():
		return nil, net.ErrClosed
	default:
		return nil, err //nolint:wrapcheck // it is the listener's own Accept
	}
}

// rest returns the waiting connections once the deadline of the last Accept has passed, and net.ErrClosed after them.
// The deadline alone says nothing: on a busy machine it passes before the server has accepted anything.
func (l *loan) rest() (net.Conn, error) {
	if l.quiet.Load() {
		if c, err := listen.Waiting(l.socket.listener); c != nil || err != nil {
			return c, err
		}
	}
	l.emptied.Do(func() { close(l.empty) })
	return nil, net.ErrClosed
}

// Addr returns the address that is bound.
func (l *loan) Addr() net.Addr { return l.socket.listener.Addr() }

// SetDeadline bounds Accept.
func (l *loan) SetDeadline(t time.Time) error {
	l.ending.Lock()
	defer l.ending.Unlock()
	if l.last.Load() || l.ended.Load() {
		return net.ErrClosed
	}
	return l.socket.deadline(t)
}

// Close gives the socket back and returns when no Accept is under way any more. The address stays bound, and the next
// server accepts the connections that wait in its queue.
func (l *loan) Close() error {
	l.ending.Lock()
	defer l.ending.Unlock()
	return l.end()
}

// How long the server of a released address accepts connections.
const (
	// lastAccept is for connections that are being established: a client may consider its connection open before the
	// last packet of the handshake has arrived here.
	lastAccept = 200 * time.Millisecond
	// lastAccepts is how much longer it may take to accept the connections that wait then.
	lastAccepts = 5 * time.Second
)

// finish is Close for an address that is released: connections in its queue are still accepted, as the kernel would
// otherwise reset them.
func (l *loan) finish() error {
	if err := l.quieten(); err != nil {
		return err
	}
	timer := time.NewTimer(lastAccept + lastAccepts)
	defer timer.Stop()
	select {
	case <-l.empty:
	case <-timer.C: // its server does not accept
	}
	return l.Close()
}

// quieten begins to finish: from now on no client can open a new connection.
func (l *loan) quieten() error {
	l.ending.Lock()
	defer l.ending.Unlock()
	if l.last.Load() {
		return nil
	}
	l.quiet.Store(listen.Quiet(l.socket.listener) == nil)
	l.last.Store(true)
	if err := l.socket.deadline(time.Now().Add(lastAccept)); err != nil {
		return fmt.Errorf("give up %s: %w", l.Addr(), err)
	}
	return nil
}

// end ends the loan. The caller holds ending.
func (l *loan) end() error {
	if l.ended.Swap(true) {
		return nil
	}
	if err := l.socket.deadline(time.Unix(1, 0)); err != nil { // long ago: wakes Accept
		return fmt.Errorf("give back %s: %w", l.Addr(), err)
	}
	l.socket.turn.Lock()
	defer l.socket.turn.Unlock()
	return l.socket.deadline(time.Time{})
}
