package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// accept accepts connections until the listener is closed. Neither a shortage of file descriptors nor a broken
// connection ends it.
func (s *Server) accept() error {
	spare := openSpare()
	defer func() { spare.release() }()
	pauses := backoff.New(firstPause, lastPause)
	for {
		raw, err := s.listener.Accept()
		switch {
		case err == nil:
			pauses.Reset()
			s.admit(raw)
		case s.isClosing() || errors.Is(err, net.ErrClosed):
			return s.acceptError(err)
		case isPassing(err):
		case isExhausted(err):
			if !pauses.Failing() {
				s.log.Warn("cannot accept connections; the limit of open files may be too low (ulimit -n)", "error", err)
			}
			s.shedWaiting(spare)
			backoff.Wait(s.ending, pauses.Next())
		default:
			return s.acceptError(err)
		}
	}
}

func (s *Server) acceptError(err error) error {
	if s.isClosing() {
		return nil
	}
	return fmt.Errorf("accept on %s: %w", s.listener.Addr(), err)
}

// admit counts the connection in and starts it.
func (s *Server) admit(raw net.Conn) {
	accepted, ok := s.connections.add(raw)
	if !ok {
		s.connections.endings.tell(endedConnections, raw.RemoteAddr())
		s.starting.Go(func() { s.turnAway(raw) })
		return
	}
	deadline := s.connections.hurried(time.Now().Add(s.limits.FirstRequest))
	if s.announced == nil {
		s.begin(accepted, deadline)
		return
	}
	s.starting.Go(func() {
		if err := s.announced.receiveHeader(accepted, deadline); err != nil {
			s.refuseUnannounced(accepted, err)
			return
		}
		s.begin(accepted, deadline)
	})
}

// begin starts the protocol on a connection whose client is known.
func (s *Server) begin(accepted *conn, deadline time.Time) {
	if !s.connections.welcome(accepted) {
		s.connections.endings.tell(endedPerClient, accepted.RemoteAddr())
		s.starting.Go(func() { s.turnAway(accepted) })
		return
	}
	if s.tls == nil && s.own != nil {
		s.serveOwn(accepted, accepted, deadline)
		return
	}
	if s.tls == nil {
		s.serveStd(accepted, deadline)
		return
	}
	s.starting.Go(func() { s.handshake(accepted, deadline) })
}

// serveStd has net/http's server serve a connection without TLS.
func (s *Server) serveStd(accepted *conn, deadline time.Time) {
	sieve := http1.NewSieve(s.metered(accepted, deadline), &s.sieve, deadline)
	s.connections.begin(accepted, sieve)
	s.rest(sieve)
}

// handshake completes the TLS handshake and passes the connection on according to what ALPN agreed on.
func (s *Server) handshake(accepted *conn, deadline time.Time) {
	secured := tls.Server(accepted, s.tls)
	err := s.connections.setDeadline(accepted, deadline)
	if err == nil {
		err = accepted.compute(s.computing, func() error {
			return secured.HandshakeContext(context.Background()) // the deadline and closeAll end it
		})
	}
	if err == nil {
		err = accepted.SetDeadline(time.Time{})
	}
	if err != nil {
		s.count.Refused(telemetry.RefusedTLS)
		s.log.Debug("TLS handshake failed", "peer", accepted.RemoteAddr(), "error", err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.connections.endings.tell(http2.FirstRequest.String(), accepted.RemoteAddr())
		}
		refusePlain(err)
		_ = accepted.Close() // no request was taken on it
		return
	}
	if state := secured.ConnectionState(); state.NegotiatedProtocol == "h2" {
		if !mayBeHTTP2(&state) {
			s.log.Debug("a connection with a cipher that HTTP/2 forbids was closed", "peer", accepted.RemoteAddr(), "cipher", tls.CipherSuiteName(state.CipherSuite))
			_ = secured.Close() // no request was taken on it
			return
		}
		accepted.meter = http2.NewMeter(secured, &s.meter, true, deadline)
		s.connections.begin(accepted, nil)
		s.ready.put(&secureHTTP2{accepted.meter, state})
		return
	}
	if s.own != nil {
		s.serveOwn(accepted, secured, deadline)
		return
	}
	sieve := http1.NewSieve(secured, &s.sieve, deadline)
	s.connections.begin(accepted, sieve)
	s.rest(sieve)
}

// metered puts a Meter below the Sieve of a connection that may turn out to speak HTTP/2.
func (s *Server) metered(accepted *conn, deadline time.Time) net.Conn {
	if !s.sieve.H2C {
		return accepted
	}
	accepted.meter = http2.NewMeter(accepted, &s.meter, false, deadline)
	return accepted.meter
}

// secureHTTP2 is HTTP/2 over TLS, with a Meter above it. net/http's server must not know of the TLS below, or it would
// try to terminate TLS itself.
type secureHTTP2 struct {
	*http2.Meter

	state tls.ConnectionState
}

const plainToTLS = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" +
	"This port speaks HTTPS; the request came without TLS.\n"

// refusePlain answers a client that speaks plain HTTP to a TLS port.
func refusePlain(err error) {
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && startsHTTP(notTLS.RecordHeader) {
		_, _ = io.WriteString(notTLS.Conn, plainToTLS) // the client may be gone
		http1.Linger(notTLS.Conn)
	}
}

func startsHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	default:
		return false
	}
}

// handover is the listener that net/http's server accepts from.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) put(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		_ = c.Close() // the server is closing
	}
}

// Accept returns the next connection that is ready.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and put.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr returns the address of the socket.
func (h *handover) Addr() net.Addr { return h.addr }
