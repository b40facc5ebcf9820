package listen

import (
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// rest keeps a connection of HTTP/1.x while a head is awaited, the first one or the next, and hands it to net/http's
// server when the head has come. The server would meanwhile hold two buffers of 4 KB and the stack of its handlers;
// here it is a small stack and what has come of the head.
func (s *Server) rest(sieve *http1.Sieve) {
	accepted := acceptedBelow(sieve)
	if !s.connections.rest(accepted, func() { s.attend(accepted, sieve) }) {
		_ = sieve.Close() // the server is closing
	}
}

// attend waits for a head. Most connections consist of its stack.
func (s *Server) attend(accepted *conn, sieve *http1.Sieve) {
	if sieve.Await() != nil {
		_ = sieve.Close() // nothing more comes on it
		return
	}
	s.handOver(accepted, sieve)
}

// handOver hands net/http's server a connection on which a head has come.
func (s *Server) handOver(accepted *conn, sieve *http1.Sieve) {
	meter, metered := sieve.Conn.(*http2.Meter)
	if metered && !meter.Counts() {
		sieve.Over(meter.Conn)
		metered = false
	}
	s.connections.rise(accepted, metered)
	s.ready.put(sieve.Handed())
}
