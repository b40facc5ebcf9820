package exchange

import (
	"net/netip"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/field"
)

// Connection is what the exchanges of one connection have in common. The zero value is a connection of which nothing is
// known. It must not be copied. Its exported fields are not changed once there is an exchange.
type Connection struct {
	Peer   netip.AddrPort // the other end, 4-in-6 unmapped; invalid on a Unix socket
	Server Server         // what serves it; nil if unknown

	said atomic.Pointer[said]
}

// said is what backends are told about a client. It is not changed.
type said struct {
	peer                netip.AddrPort
	scheme, host, proto string
	trusted             bool

	lines [mostSaid]field.Line
	count int
}

// mostSaid is the most lines that backends are told for every client.
const mostSaid = 5

func (s *said) of(c *Client, proto string) bool {
	return s.peer == c.Peer && s.scheme == c.Scheme && s.host == c.Host && s.proto == proto && s.trusted == c.Trusted
}

// Said returns the lines that say appends for a client that speaks that version of the protocol; last are those that it
// appended for an earlier request on this connection. They must not depend on the client's IP, which differs for each
// request of a trusted proxy, but only on the rest: most requests of a connection have the same lines as the previous
// one. Said may be called concurrently; c may be nil.
func (c *Connection) Said(client *Client, proto string, say func(to, last []field.Line, client *Client, proto string) []field.Line) []field.Line {
	if c == nil {
		return say(nil, nil, client, proto)
	}
	last := c.said.Load()
	if last == nil || !last.of(client, proto) {
		last = last.next(client, proto, say)
		c.said.Store(last)
	}
	return last.lines[:last.count]
}

func (s *said) next(client *Client, proto string, say func(to, last []field.Line, client *Client, proto string) []field.Line) *said {
	var before []field.Line
	if s != nil && s.peer == client.Peer {
		before = s.lines[:s.count]
	}
	n := &said{peer: client.Peer, scheme: client.Scheme, host: client.Host, proto: proto, trusted: client.Trusted}
	n.count = len(say(n.lines[:0], before, client, proto))
	return n
}
