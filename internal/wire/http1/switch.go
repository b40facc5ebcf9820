package http1

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// openTunnel returns the connection to the caller that has asked for another protocol (RFC 9110 section 7.8). The
// client no longer owns it, and the request's context no longer affects it.
func (r *round) openTunnel() io.ReadWriteCloser {
	l := r.link
	t := &tunnel{round: r, net: l.net, early: bytes.Clone(r.room.in.b)}
	r.room.empty()
	r.client.rooms.Put(r.room)
	r.room = nil
	l.forget() // if the patrol closes it, its reader finds out
	return t
}

// tunnel is the body of a 101 response: the connection itself. It ends when it is closed, because the other direction
// may go on after a read has ended.
type tunnel struct {
	round *round
	net   net.Conn
	early []byte // what came with the head
}

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.net.Read(p)
}

func (t *tunnel) Write(p []byte) (int, error) { return t.net.Write(p) }

// CloseWrite ends the sending direction; the endpoint reads EOF.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.net.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close ends both directions.
func (t *tunnel) Close() error {
	err := t.net.Close()
	t.round.end(nil)
	return err
}

// BreakOff ends both directions, like a connection that was lost.
func (t *tunnel) BreakOff() error {
	err := exchange.BreakOff(t.net)
	t.round.end(nil)
	return err
}

// OnEnd sets what is called when the tunnel was closed.
func (t *tunnel) OnEnd(e exchange.Ending) { t.round.onEnd = e }
