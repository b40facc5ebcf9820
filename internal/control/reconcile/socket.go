package reconcile

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// socket is a bound address. It is lent to one server after the other, so that
// a new server takes over without the address being given up: connections that
// arrive in between wait in the socket's queue.
type socket struct {
	listener net.Listener
	deadline func(time.Time) error // the listener's, which wakes its Accept

	turn   sync.Mutex // held by the Accept that is under way
	strays []net.Conn // accepted for a server that had just given up the socket
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
func (s *socket) close() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	err := s.listener.Close()
	for _, c := range s.strays {
		err = errors.Join(err, c.Close())
	}
	s.strays = nil
	return err
}

// take gives the next connection. It blocks.
func (s *socket) take(l *loan) (net.Conn, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if l.ended.Load() {
		return nil, net.ErrClosed
	}
	if n := len(s.strays); n > 0 {
		c := s.strays[n-1]
		s.strays = s.strays[:n-1]
		return c, nil
	}
	c, err := s.listener.Accept()
	if !l.ended.Load() {
		return c, err
	}
	if err == nil {
		s.strays = append(s.strays, c)
	}
	return nil, net.ErrClosed
}

// loan is a socket in the hands of one server. It implements net.Listener.
type loan struct {
	socket *socket
	ended  atomic.Bool
	ending sync.Mutex // orders SetDeadline with Close
}

// Accept gives the next connection, net.ErrClosed after Close.
func (l *loan) Accept() (net.Conn, error) { return l.socket.take(l) }

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
// more. The address stays bound.
func (l *loan) Close() error {
	l.ending.Lock()
	defer l.ending.Unlock()
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
