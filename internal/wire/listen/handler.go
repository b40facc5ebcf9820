package listen

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// origin is what the requests of one connection share, and the parent of their contexts.
type origin struct {
	context.Context //nolint:containedctx // it is one

	connection exchange.Connection

	terms string
	wire  interface{ Fault() *fault.Fault } // the Sieve, nil on HTTP/2 over TLS
	tls   *tls.ConnectionState              // of HTTP/2 over TLS
	meter *http2.Meter                      // nil if HTTP/2 is not spoken

	once    sync.Once
	streams *streams // made when the first request over HTTP/2 comes
}

type originKey struct{}

// Value returns the origin too (context.Context).
func (o *origin) Value(key any) any {
	if key == any(originKey{}) {
		return o
	}
	return o.Context.Value(key)
}

// originOf returns the origin of the connection that ctx belongs to, nil if there is none.
func originOf(ctx context.Context) *origin {
	if c, ok := ctx.(*exchange.RequestContext); ok {
		ctx = c.Parent() // the origin, with our own engine
	}
	if o, ok := ctx.(*origin); ok {
		return o
	}
	o, _ := ctx.Value(originKey{}).(*origin)
	return o
}

func (s *Server) withOrigin(ctx context.Context, c net.Conn) context.Context {
	o := &origin{Context: ctx, connection: exchange.Connection{Peer: addrPort(c.RemoteAddr()), Server: s}}
	if accepted := acceptedBelow(c); accepted != nil {
		o.terms = accepted.terms
	}
	switch on := c.(type) {
	case *secureHTTP2:
		o.meter, o.tls = on.Meter, &on.state
	case *http1.Sieve:
		o.wire = on
		o.meter, _ = on.Conn.(*http2.Meter)
	case http1.TLSSieve:
		o.wire = on
	}
	return o
}

// acceptedBelow finds the accepted connection below one that net/http serves.
func acceptedBelow(c net.Conn) *conn {
	for {
		switch on := c.(type) {
		case *conn:
			return on
		case *http1.Sieve:
			c = on.Conn
		case http1.TLSSieve:
			c = on.Conn
		case *secureHTTP2:
			c = on.Conn
		case *http2.Meter:
			c = on.Conn
		case *tls.Conn:
			c = on.NetConn()
		default:
			return nil
		}
	}
}

// Bind records the terms under which the connection of a handshake is made; see TermsFrom.
func Bind(hello *tls.ClientHelloInfo, terms string) {
	if accepted, ok := hello.Conn.(*conn); ok {
		accepted.terms = terms
	}
}

// TermsFrom returns the terms that the connection of a request's context is bound to, "" if there are none.
func TermsFrom(ctx context.Context) string {
	if o := originOf(ctx); o != nil {
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

// ConnectionFrom returns the connection that a request's context belongs to, an unknown one if there is none.
func ConnectionFrom(ctx context.Context) *exchange.Connection {
	if o := originOf(ctx); o != nil {
		return &o.connection
	}
	return new(exchange.Connection)
}

// FaultFrom returns why the client's connection is not read any further, nil while it is. When the content of a request
// breaks its framing, reading it fails with this fault, and the request's context ends with it.
func FaultFrom(ctx context.Context) *fault.Fault {
	if o := originOf(ctx); o != nil && o.wire != nil {
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
		endStall(c)
	case http.StateNew, http.StateActive, http.StateClosed:
	}
}

// endStall removes the bound on slow clients from a connection that was taken over.
func endStall(c net.Conn) {
	if accepted := acceptedBelow(c); accepted != nil {
		accepted.stall.end(accepted.Conn)
	}
}

// handler answers what the wire refused, and passes on the rest. Once the server leaves, every response says that its
// connection ends; the exchange.Writer adds this to responses whose requests came before. Over HTTP/2 the header field
// would make net/http's server send a GOAWAY after which it forgets what is on its way.
type handler struct{ *Server }

// ServeHTTP serves a request of any version.
func (s handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor >= 2 {
		s.serveStream(w, r)
		return
	}
	if s.Leaving() {
		sayClose(w)
	}
	s.answer(w, r)
}

func sayClose(w http.ResponseWriter) { exchange.MapHead(w.Header()).Set("Connection", "close") }

// serveStream serves a request of an HTTP/2 connection.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	o := originOf(r.Context())
	if o == nil || o.meter == nil {
		s.answer(w, r)
		return
	}
	if s.Leaving() {
		o.meter.Announce() // if the connection was made after Leave
	}
	o.once.Do(func() {
		o.streams = &streams{meter: o.meter, rate: s.limits.BodyRate, endings: s.connections.endings, peer: o.meter.RemoteAddr()}
	})
	if o.tls != nil {
		r.TLS = o.tls // whatever scheme the request names
	}
	t := o.streams.begin(w, r)
	defer o.streams.end(t, r)
	if o.meter.Wasteful() && !stays(r.Context()) {
		return
	}
	s.answer(t, r)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	if f := s.refused(r); f != nil {
		s.refuse(w, r, f)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// refused returns the rule of the wire that r breaks, nil for none.
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
