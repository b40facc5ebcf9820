package listen

import (
	"context"
	"net"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// newOwn makes our own server of HTTP/1.x. net/http's serves HTTP/2 next to it.
func (s *Server) newOwn(lines bool) *http1.Server {
	return http1.NewServer(http1.ServerOptions{
		Options:   s.sieve,
		Handler:   handler{s},
		KeepAlive: s.limits.KeepAlive,
		Lines:     lines,
		Log:       s.log,
		Context:   s.withOwn,
		Preface:   s.goOn,
		Hijacked:  endStall,
	})
}

// serveOwn has our own server serve HTTP/1.x on conn, which is accepted or a layer above it.
func (s *Server) serveOwn(accepted *conn, conn net.Conn, deadline time.Time) {
	s.connections.begin(accepted, s.own.Serve(conn, deadline))
}

// withOwn gives the requests of a connection their origin.
func (s *Server) withOwn(ctx context.Context, c *http1.Conn) context.Context {
	o := &origin{Context: ctx, connection: exchange.Connection{Peer: addrPort(c.RemoteAddr()), Server: s}, wire: c}
	if accepted := acceptedBelow(c.NetConn()); accepted != nil {
		o.terms = accepted.terms
	}
	return o
}

// goOn has net/http's server take over a connection that turned out to speak HTTP/2.
func (s *Server) goOn(on net.Conn, early []byte, firstHead time.Time) {
	accepted := acceptedBelow(on)
	if accepted.ahead == nil {
		accepted.ahead = &ahead{}
	}
	accepted.ahead.early = early // it includes all that came after a PROXY header
	s.serveStd(accepted, firstHead)
}
