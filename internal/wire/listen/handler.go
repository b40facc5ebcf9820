package listen

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// origin is what the requests of one connection share.
type origin struct {
	peer  netip.AddrPort
	terms string
	wire  interface{ Fault() *fault.Fault } // the Sieve, nil on HTTP/2 over TLS
}

type originKey struct{}

func withOrigin(ctx context.Context, c net.Conn) context.Context {
	o := &origin{peer: addrPort(c.RemoteAddr())}
	if accepted := acceptedBelow(c); accepted != nil {
		o.terms = accepted.terms
	}
	if sieve, ok := c.(interface{ Fault() *fault.Fault }); ok {
		o.wire = sieve
	}
	return context.WithValue(ctx, originKey{}, o)
}

// acceptedBelow finds what was accepted below a connection that net/http serves.
func acceptedBelow(c net.Conn) *conn {
	for {
		switch on := c.(type) {
		case *conn:
			return on
		case *http1.Sieve:
			c = on.Conn
		case http1.TLSSieve:
			c = on.Conn
		case *tls.Conn:
			c = on.NetConn()
		default:
			return nil
		}
	}
}

// Bind notes the terms under which the connection of a handshake is made; see TermsFrom.
func Bind(hello *tls.ClientHelloInfo, terms string) {
	if accepted, ok := hello.Conn.(*conn); ok {
		accepted.terms = terms
	}
}

// TermsFrom gives the terms that the connection of a request's context is bound
// to, "" where there are none.
func TermsFrom(ctx context.Context) string {
	if o, ok := ctx.Value(originKey{}).(*origin); ok {
		return o.terms
	}
	return ""
}

func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// PeerFrom gives the other end of the connection that a request's context
// belongs to, 4-in-6 addresses unmapped; it is not valid on a Unix socket.
func PeerFrom(ctx context.Context) netip.AddrPort {
	if o, ok := ctx.Value(originKey{}).(*origin); ok {
		return o.peer
	}
	return netip.AddrPort{}
}

// FaultFrom tells why the client's connection is not read any further, nil
// where it is. When the content of a request breaks its framing, its Read fails
// with this fault, and the request's context ends with it.
func FaultFrom(ctx context.Context) *fault.Fault {
	if o, ok := ctx.Value(originKey{}).(*origin); ok && o.wire != nil {
		return o.wire.Fault()
	}
	return nil
}

// follow tells the Sieve what the server does with its connection.
func follow(c net.Conn, state http.ConnState) {
	sieve, ok := c.(interface {
		Next()
		Raw()
	})
	if !ok {
		return
	}
	switch state {
	case http.StateIdle:
		sieve.Next()
	case http.StateHijacked:
		sieve.Raw()
	case http.StateNew, http.StateActive, http.StateClosed:
	}
}

// serve answers what the wire refused, and hands on the rest. During Shutdown
// every response says that its connection ends, which HTTP/2 makes a GOAWAY.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.isClosing() {
		w.Header().Set("Connection", "close")
	}
	if f := s.refused(r); f != nil {
		s.refuse(w, r, f)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// refused gives the rule of the wire that r breaks, nil for none.
func (s *Server) refused(r *http.Request) *fault.Fault {
	if r.ProtoMajor >= 2 {
		return http1.Vet(r, s.sieve.Limits).Fault()
	}
	if !http1.IsRefusal(r.Method, r.RequestURI) {
		return nil
	}
	if f := FaultFrom(r.Context()); f != nil {
		return f
	}
	return fault.MalformedRequest.New("")
}
