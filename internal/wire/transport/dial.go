package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// dialer opens connections that count what is written to them.
type dialer struct {
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	connect  time.Duration
	tls      *tls.Config
	announce Announcement
}

// dialError marks errors that kept a connection from being made, so that nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.bare(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newCountedConn(conn), nil
}

// bare dials, and does not count bytes.
func (d *dialer) bare(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	conn, err := d.open(ctx, network, placeOf(address))
	if err != nil {
		return nil, dialError{err}
	}
	return conn, nil
}

// secure dials and completes the TLS handshake within one time limit.
func (d *dialer) secure(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	at := placeOf(address)
	conn, err := d.open(ctx, network, at)
	if err != nil {
		return nil, dialError{err}
	}
	config := d.tls
	if config.ServerName == "" {
		host, err := at.serverName()
		if err != nil {
			_ = conn.Close() // nothing was sent on it
			return nil, dialError{err}
		}
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(newCountedConn(conn), config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one to return
		return nil, dialError{err}
	}
	return secured, nil
}

// open dials, and announces the client if that is configured.
func (d *dialer) open(ctx context.Context, network string, at place) (net.Conn, error) {
	conn, err := d.either(ctx, network, at)
	if err != nil || d.announce == NotAnnounced {
		return conn, err
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetWriteDeadline(deadline)
	if err == nil {
		_, err = conn.Write(d.announce.header(at.client))
	}
	if err == nil {
		err = conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close() // the error before is the one to return
		return nil, err
	}
	return conn, nil
}

// fallbackDelay is how long an endpoint's first address is dialled alone (RFC 8305 section 5: the Connection Attempt
// Delay).
const fallbackDelay = 250 * time.Millisecond

// dialled is the result of dialling one address of an endpoint.
type dialled struct {
	conn net.Conn
	err  error
}

// either dials an endpoint, and also by its other way if the first one fails or takes too long. It returns when both
// dials have ended.
func (d *dialer) either(ctx context.Context, network string, at place) (net.Conn, error) {
	if at.fallback == "" {
		return d.to(ctx, network, at.endpoint)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialled, 2)
	dial := func(endpoint string) {
		conn, err := d.to(ctx, network, endpoint)
		results <- dialled{conn, err}
	}
	go dial(at.endpoint)
	timer := time.NewTimer(fallbackDelay)
	defer timer.Stop()
	running, delay := 1, timer.C
	var failed error
	for {
		select {
		case got := <-results:
			running--
			if got.err == nil {
				cancel()
				forget(results, running)
				return got.conn, nil
			}
			failed = errors.Join(failed, got.err)
			switch {
			case delay == nil && running > 0:
				continue
			case delay == nil:
				return nil, failed
			}
		case <-delay:
		}
		delay = nil
		running++
		go dial(at.fallback)
	}
}

// forget waits for dials whose context has ended, and closes connections that came too late.
func forget(results <-chan dialled, running int) {
	for range running {
		if late := <-results; late.conn != nil {
			_ = late.conn.Close() // nothing was sent on it
		}
	}
}

func (d *dialer) to(ctx context.Context, network, endpoint string) (net.Conn, error) {
	network, address := networkOf(network, endpoint)
	return d.dial(ctx, network, address)
}

// countedConn counts the bytes that were written, so that a failed request can tell whether any of it went out. It also
// knows when there is nothing more to read.
type countedConn struct {
	net.Conn

	wrote atomic.Int64
	ended atomic.Bool             // a read has met its end or failed
	looks atomic.Bool             // the next Write begins a request that may not be sent twice, on a kept connection
	tells atomic.Pointer[content] // content of the request that waits for its response; nil over HTTP/2
	peek  http1.Peek              // for the goroutine that writes
	rest  rest
}

func newCountedConn(c net.Conn) *countedConn { return &countedConn{Conn: c, peek: http1.NewPeek(c)} }

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.ended.Store(true)
		if waits := c.tells.Load(); waits != nil {
			waits.severed(c, err)
		}
	}
	return n, err
}

// errLeft is the error of a connection that was kept unused and that its other side has closed.
var errLeft = errors.New("the kept connection was closed by its other side")

// Write sends nothing on a connection that its other side is known here to have closed: the goroutine that reads from
// it may not have been told yet.
func (c *countedConn) Write(p []byte) (int, error) {
	if c.looks.Load() && c.looks.Swap(false) && (c.ended.Load() || c.peek.Asks() && !c.peek.IsQuiet()) {
		_ = c.Close() // so that TLS sends no closing alert, which would count as sent
		return 0, errLeft
	}
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n))
	return n, err
}

// Wrote returns how many bytes were written (see http1.Client).
func (c *countedConn) Wrote() int64 { return c.wrote.Load() }

// NetConn returns the connection below.
func (c *countedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the sending direction, if the connection can.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// counted finds the countedConn below a connection that a trace reports.
func counted(info httptrace.GotConnInfo) *countedConn {
	conn := info.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c, _ := conn.(*countedConn)
	return c
}
