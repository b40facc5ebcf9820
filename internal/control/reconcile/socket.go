package reconcile

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// socket is a bound address. It is lent to one server after the other, so that
// a new server takes over without the address being given up: connections that
// arrive in between wait in the socket's queue.
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

// lend gives the socket to a server, as a listener whose Close gives it back.
// The loan before must have ended before its Accept is called.
func (s *socket) lend() *loan { return &loan{socket: s} }

// close gives up the address.
func (s *socket) close() error { return s.listener.Close() }

// loan is a socket in the hands of one server. It implements net.Listener.
type loan struct {
	socket *socket
	last   atomic.Bool // takes what waits, and then ends
	ended  atomic.Bool
	ending sync.Mutex // orders SetDeadline with the end
}

// Accept gives the next connection, net.ErrClosed after the end. One that came
// while the loan ended is still this server's, for its client may have asked already.
func (l *loan) Accept() (net.Conn, error) {
	l.socket.turn.Lock()
	defer l.socket.turn.Unlock()
	if l.ended.Load() {
		return nil, net.ErrClosed
	}
	c, err := l.socket.listener.Accept()
	if err != nil && (l.last.Load() || l.ended.Load()) {
		return nil, net.ErrClosed
	}
	return c, err
}

// Addr is the address that is bound.
func (l *loan) Addr() net.Addr { return l.socket.listener.Addr() }

// SetDeadline bounds Accept.
func (l *loan) SetDeadline(t time.Time) error {
	l.ending.Lock()
	defer l.ending.Unlock()
	if l.ended.Load() {
		return net.ErrClosed
	}
	return l.socket.deadline(t)
}

// Close gives the socket back and returns when no Accept is under way any
// more. The address stays bound, and what waits in its queue is for the next.
func (l *loan) Close() error {
	l.ending.Lock()
	defer l.ending.Unlock()
	return l.end()
}

// lastAccept is how long the server of an address that is given up takes
// connections that wait.
const lastAccept = 10 * time.Millisecond

// finish is Close for an address that is given up: what waits in its queue is
// still taken, for the kernel would reset it.
func (l *loan) finish() error {
	l.ending.Lock()
	defer l.ending.Unlock()
	l.last.Store(true)
	_ = listen.Quiet(l.socket.listener) // it is a help, and can be done without
	if err := l.socket.deadline(time.Now().Add(lastAccept)); err != nil {
		return fmt.Errorf("give up %s: %w", l.Addr(), err)
	}
	timer := time.NewTimer(lastAccept)
	defer timer.Stop()
	<-timer.C
	return l.end()
}

// end is called with ending locked.
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
