package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http2"
	"github.com/weir-gateway/weir/internal/wire/proxyproto"
)

// Announced says that every connection begins with a header of the PROXY protocol, which names the client.
type Announced struct {
	// By lists the only peers that may connect: a header from any other peer could say anything. On a Unix socket the
	// mode of its file decides instead.
	By []netip.Prefix
}

// lets reports whether a header from this peer is accepted.
func (a *Announced) lets(peer net.Addr) bool {
	if peer.Network() == "unix" {
		return true
	}
	ip := addrPort(peer).Addr().WithZone("")
	return slices.ContainsFunc(a.By, func(p netip.Prefix) bool { return p.Contains(ip) })
}

var errNotTrusted = errors.New("it is not among those that may announce clients (proxy_protocol.trust)")

// receiveHeader reads and removes the header of a connection. From then on the connection counts as one from the client
// that the header names.
func (a *Announced) receiveHeader(c *conn, deadline time.Time) error {
	if !a.lets(c.RemoteAddr()) {
		return errNotTrusted
	}
	if err := c.set.setDeadline(c, deadline); err != nil {
		return fmt.Errorf("PROXY header: %w", err)
	}
	var held []byte
	for {
		held = slices.Grow(held, headerPiece)
		read, err := c.Conn.Read(held[len(held):cap(held)])
		held = held[:len(held)+read]
		header, n, wrong := proxyproto.Parse(held)
		switch {
		case wrong != nil:
			return fmt.Errorf("PROXY header: %w", wrong)
		case n > 0:
			c.announced(header, held[n:])
			return c.SetDeadline(time.Time{}) //nolint:wrapcheck // told beside the peer
		case err != nil:
			return fmt.Errorf("PROXY header: %w", err)
		}
	}
}

const headerPiece = 256 // more than a header without fields has

// announced makes c a connection between the addresses that its header names. early is what was read after the header.
func (c *conn) announced(h proxyproto.Header, early []byte) {
	c.ahead = &ahead{}
	if len(early) > 0 {
		c.ahead.early = early
	}
	if h.Source.IsValid() {
		c.ahead.remote = net.TCPAddrFromAddrPort(h.Source)
		c.ahead.local = net.TCPAddrFromAddrPort(h.Destination)
	}
}

// seldom lets something be logged once a minute.
type seldom struct{ last atomic.Int64 }

func (s *seldom) now() bool {
	now := time.Now().UnixNano()
	last := s.last.Load()
	return now-last >= int64(time.Minute) && s.last.CompareAndSwap(last, now)
}

// refuseUnannounced closes a connection that has no valid header from a trusted peer. The operator is told, because the
// peer may be a proxy that was left out of the config.
func (s *Server) refuseUnannounced(c *conn, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.connections.endings.tell(http2.FirstRequest.String(), c.RemoteAddr())
	}
	level := s.log.Debug
	if s.complained.now() {
		level = s.log.Warn
	}
	level("a connection was closed, for it did not begin with a PROXY header that counts; further ones are told at level debug for a minute",
		"socket", s.listener.Addr().String(), "peer", c.RemoteAddr().String(), "error", err)
	_ = c.Close() // nothing was promised on it
}
