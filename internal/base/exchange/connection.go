package exchange

import (
	"net/netip"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/field"
)

// Connection holds what the exchanges of one connection have in common. In the zero value nothing is known. It must not
// be copied, and its exported fields must not change once there is an exchange.
type Connection struct {
	Peer   netip.AddrPort // the other end, 4-in-6 unmapped; invalid on a Unix socket
	Server Server         // what serves it; nil if unknown

	said atomic.Pointer[said]
}

// said is what backends are told about a client. It is immutable.
type said struct {
	peer                netip.AddrPort
	scheme, host, proto string
	trusted             bool

	lines [mostSaid]field.Line
	count int
}

// mostSaid is the largest number of lines that backends are told about every client alike.
const mostSaid = 5

func (s *said) of(c *Client, proto string) bool {
	return s.peer == c.Peer && s.scheme == c.Scheme && s.host == c.Host && s.proto == proto && s.trusted == c.Trusted
}

// Said returns the lines that the function say appends for a client that uses this version of the protocol. Its
// argument last has the lines that it appended earlier for a client with the same peer on this connection. The lines
// must not depend on the client's IP, which differs for each request that a trusted proxy sends, but only on the rest.
// Most requests of a connection therefore share the lines of the request before. Said may be called concurrently; c may
// be nil.
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
