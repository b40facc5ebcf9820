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
func (s *socket) lend() *loan { return &loan{socket: s, empty: make(chan struct{})} }

// close gives up the address.
func (s *socket) close() error { return s.listener.Close() }

// loan is a socket in the hands of one server. It implements net.Listener.
type loan struct {
	socket *socket
	ended  atomic.Bool
	ending sync.Mutex // orders SetDeadline with the end

	last    atomic.Bool // takes what waits, and then ends
	quiet   atomic.Bool // written before last: nothing more comes
	empty   chan struct{}
	emptied sync.Once // closes empty, when nothing waits any more
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

// rest gives what waits when the time of the last Accept is over, net.ErrClosed
// after it. The time alone tells nothing: on a busy machine it is over before the
// server has accepted anything.
func (l *loan) rest() (net.Conn, error) {
	if l.quiet.Load() {
		if c, err := listen.Waiting(l.socket.listener); c != nil || err != nil {
			return c, err
		}
	}
	l.emptied.Do(func() { close(l.empty) })
	return nil, net.ErrClosed
}

// Addr is the address that is bound.
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

// Close gives the socket back and returns when no Accept is under way any
// more. The address stays bound, and what waits in its queue is for the next.
func (l *loan) Close() error {
	l.ending.Lock()
	defer l.ending.Unlock()
	return l.end()
}

// How long the server of an address that is given up takes connections.
const (
	// lastAccept is for those that are being made: to a client that has heard of it,
	// one is there before the last packet of its handshake has come.
	lastAccept = 200 * time.Millisecond
	// lastAccepts bounds how long it may take with those that wait then.
	lastAccepts = 5 * time.Second
)

// finish is Close for an address that is given up: what waits in its queue is
// still taken, for the kernel would reset it.
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

// quieten begins to finish: from now on no client connects anew.
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
