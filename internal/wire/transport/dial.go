package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// dialer opens connections that count what is written to them.
type dialer struct {
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	connect  time.Duration
	tls      *tls.Config
	announce Announcement
}

// dialError marks that a connection could not be made, so that nothing was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func (d *dialer) plain(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.connect)
	defer cancel()
	conn, err := d.open(ctx, network, placeOf(address))
	if err != nil {
		return nil, dialError{err}
	}
	return &countedConn{Conn: conn}, nil
}

// secure dials and shakes hands within one bound.
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
			_ = conn.Close() // nothing was said on it
			return nil, dialError{err}
		}
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(&countedConn{Conn: conn}, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one to tell
		return nil, dialError{err}
	}
	return secured, nil
}

// open dials, and announces the client where that is wanted.
func (d *dialer) open(ctx context.Context, network string, at place) (net.Conn, error) {
	network, address := at.network(network)
	conn, err := d.dial(ctx, network, address)
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
		_ = conn.Close() // the error before is the one to tell
		return nil, err
	}
	return conn, nil
}

// countedConn counts the bytes that were written, so that a failed request can
// tell whether any of it went out.
type countedConn struct {
	net.Conn

	wrote atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n))
	return n, err
}

// CloseWrite ends the sending direction, where the connection can.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// counted finds the countedConn below a connection that a trace tells of.
func counted(info httptrace.GotConnInfo) *countedConn {
	conn := info.Conn
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c, _ := conn.(*countedConn)
	return c
}
