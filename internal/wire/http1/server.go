package http1

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// ServerOptions are what a Server is made of. Handler, Limits and KeepAlive must be set.
type ServerOptions struct {
	Options

	Handler http.Handler
	// KeepAlive is how long a connection is kept that asks nothing.
	KeepAlive time.Duration
	// Lines tells that Handler reads and changes heads through exchange.Head alone, and
	// keeps nothing of a request or a writer when it has returned. It is given lines as
	// they came (see exchange.Lines), in requests that are used again. Without it each
	// request has maps of its own, which may be kept, as net/http's have.
	Lines bool
	// Context gives the context that the requests of a connection have; nil: that of the
	// background. The one that is given has http.LocalAddrContextKey.
	Context func(ctx context.Context, c *Conn) context.Context
	// Preface is given each connection that begins with the HTTP/2 preface, where H2C is
	// set, with what was read of it, and when the first head must be whole, as Serve was told.
	Preface func(conn net.Conn, early []byte, firstHead time.Time)
	// Hijacked is told of each connection that a handler takes over; nil: nobody is told.
	Hijacked func(conn net.Conn)
	// Log is told of panics, and at level debug of handlers that break rules; nil: slog.Default().
	Log *slog.Logger
}

// Server serves HTTP/1.0 and HTTP/1.1 on connections that it is given. Each connection
// has one goroutine, which receives, calls the handler and sends; while it asks nothing,
// or is slow in asking, it has none, or a small one without buffers (see park.go). One timer bounds how long all
// of them wait (see sweep.go).
//
// What it understands is what the grammar of this package does, and nothing else. A
// request that is refused reaches the handler as one that no client can send: see
// IsRefusal, and Conn.Fault for the reason.
type Server struct {
	options ServerOptions
	start   time.Time
	turns   sync.Pool // of *turn
	date    atomic.Pointer[date]
	retired atomic.Bool
	cohort  *cohort        // that is looked at
	idle    sync.WaitGroup // goroutines of connections that ask nothing, and the porter's

	mu     sync.Mutex // guards what follows
	conns  map[*Conn]struct{}
	porter *porter         // nil: no connection was parked yet
	parked map[int32]*Conn // by the descriptors of their sockets
	timer  *time.Timer     // of the sweep
	armed  int64           // when it fires, on the server's clock; 0: it does not
	ended  bool
}

// NewServer makes a Server. It owns nothing until it is given a connection.
func NewServer(o ServerOptions) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{options: o, start: time.Now(), conns: map[*Conn]struct{}{}, cohort: cohorts}
	s.turns.New = func() any { return newTurn() }
	return s
}

// Serve serves conn until it ends, in a goroutine of the Server's. firstHead is when the
// first head must be whole; the zero time is never. Where conn is a *tls.Conn, its
// handshake is complete.
func (s *Server) Serve(conn net.Conn, firstHead time.Time) *Conn {
	c := &Conn{server: s, net: conn}
	if !firstHead.IsZero() {
		c.firstHead = int64(firstHead.Sub(s.start))
	}
	if secured, ok := conn.(*tls.Conn); ok {
		state := secured.ConnectionState()
		c.tls = &state
	}
	c.socket = socketOf(conn)
	c.expect(resting, c.firstHead)
	if s.add(c) {
		s.wait(c)
	} else {
		_ = conn.Close() // the server has ended
	}
	return c
}

// Retire closes the connections that wait for a head, and from now on each one that has
// been answered.
func (s *Server) Retire() {
	s.retired.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		switch phase, _ := c.awaits(); phase {
		case parked:
			if !c.lingers { // which does not take long
				s.unpark(c)
				s.idle.Go(c.attend)
			}
		case resting, idle, inLines:
			_ = c.net.Close() // nobody asks anything on it
		case nothing, inBody, answering, wentOn:
		}
	}
}

// Close closes every connection but those that were taken over, ends the contexts of
// requests under way, and returns when no connection waits any more. Handlers that do not
// heed their contexts go on.
func (s *Server) Close() {
	s.retired.Store(true)
	s.mu.Lock()
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.porter != nil {
		s.porter.close()
	}
	s.parked = nil
	left := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		_ = c.net.Close() // it is being thrown away
		c.leave()
	}
	s.idle.Wait()
}

func (s *Server) add(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.conns[c] = struct{}{}
	s.arm(c.due())
	if c.parks() {
		s.arm(s.now() + int64(tick))
	}
	return true
}

func (s *Server) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// now is the server's clock: nanoseconds since it was made.
func (s *Server) now() int64 { return int64(time.Since(s.start)) }

// since is how long ago a time of the server's clock was.
func (s *Server) since(at int64) time.Duration { return time.Duration(s.now() - at) }

// slow tells of a client that was too slow, once.
func (c *Conn) slow(reason Reason) {
	if tell := c.server.options.Slow; tell != nil && !c.told.Swap(true) {
		tell(c.net.RemoteAddr(), reason, !c.served.Load())
	}
}

// Fault is why the connection is not read any further, nil while it is.
func (c *Conn) Fault() *fault.Fault { return c.fault.Load() }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// NetConn is the connection that Serve was given.
func (c *Conn) NetConn() net.Conn { return c.net }
