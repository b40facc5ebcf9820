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

// ServerOptions configure a Server. Handler, Limits and KeepAlive must be set.
type ServerOptions struct {
	Options

	Handler http.Handler
	// KeepAlive is how long an idle connection is kept.
	KeepAlive time.Duration
	// Lines says that Handler reads and changes heads through exchange.Head alone, and keeps nothing of a request or a
	// writer after it returns. Handler then gets heads as lines, as they arrived (see exchange.Lines), in requests that
	// are reused. Without Lines, each request has maps of its own, which the handler may keep, as with net/http.
	Lines bool
	// Context derives the context of a connection's requests from ctx, which is the background context with
	// http.LocalAddrContextKey; nil: the requests have ctx itself.
	Context func(ctx context.Context, c *Conn) context.Context
	// Preface is called with each connection that begins with the HTTP/2 preface, if H2C is set, with what was read of
	// it, and with the firstHead that Serve was given.
	Preface func(conn net.Conn, early []byte, firstHead time.Time)
	// Hijacked is called with each connection that a handler takes over; nil: nothing is called.
	Hijacked func(conn net.Conn)
	// Log receives panics and, at level debug, violations of rules by handlers; nil: slog.Default().
	Log *slog.Logger
}

// Server serves HTTP/1.0 and HTTP/1.1 on connections that it is given. Each connection has one goroutine, which
// receives, calls the handler and sends. While a connection is idle, or its client sends a head slowly, it has no
// goroutine, or a small one without buffers (see park.go). One timer bounds how long all connections wait (see
// sweep.go).
//
// It accepts what the grammar of this package accepts, and nothing else. In place of a request that it refuses, the
// handler gets one that no client can send: see IsRefusal, and Conn.Fault for the reason.
type Server struct {
	options ServerOptions
	start   time.Time
	turns   sync.Pool // of *turn
	date    atomic.Pointer[date]
	retired atomic.Bool
	cohort  *cohort        // kept up to date by this server
	idle    sync.WaitGroup // goroutines of idle connections, and the porter's

	mu     sync.Mutex // guards what follows
	conns  map[*Conn]struct{}
	porter *porter         // nil: no connection was parked yet
	parked map[int32]*Conn // keyed by the descriptors of their sockets
	timer  *time.Timer     // runs the sweep
	armed  int64           // when the timer fires, on the server's clock; 0: it does not
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

// Serve starts a goroutine of the Server that serves conn until it ends. firstHead is when the first head must be
// complete; the zero time means never. If conn is a *tls.Conn, its handshake must be complete.
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
	c.bare = bareOf(conn)
	c.expect(resting, c.firstHead)
	if s.add(c) {
		s.wait(c)
	} else {
		_ = conn.Close() // the server has ended
	}
	return c
}

// Retire closes the connections that wait for a head, and from now on every other connection once its request has been
// answered.
func (s *Server) Retire() {
	s.retired.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		state := c.state.Load()
		switch phase, _ := parts(state); phase {
		case parked:
			if !c.lingers { // a lingering connection ends soon
				s.unpark(c)
				s.idle.Go(c.attend)
			}
		case resting, idle, inLines:
			_ = c.net.Close() // no request is under way on it
		case posted:
			c.interrupt(state) // its response is sent first
		case nothing, inBody, answering, wentOn:
		}
	}
}

// Close closes every connection except those that were taken over, ends the contexts of requests under way, and returns
// when no connection waits any more. Handlers that ignore their contexts go on.
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
		_ = c.net.Close() // it is abandoned
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

// now returns the time on the server's clock: nanoseconds since the server was made.
func (s *Server) now() int64 { return int64(time.Since(s.start)) }

// since returns how long ago a time on the server's clock was.
func (s *Server) since(at int64) time.Duration { return time.Duration(s.now() - at) }

// slow reports that the client was too slow, once per connection.
func (c *Conn) slow(reason Reason) {
	if tell := c.server.options.Slow; tell != nil && !c.told.Swap(true) {
		tell(c.net.RemoteAddr(), reason, !c.served.Load())
	}
}

// Fault returns why the connection is not read any further; nil while it is.
func (c *Conn) Fault() *fault.Fault { return c.fault.Load() }

// RemoteAddr returns the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// NetConn returns the connection that Serve was given.
func (c *Conn) NetConn() net.Conn { return c.net }
