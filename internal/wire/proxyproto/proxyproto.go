// Package proxyproto reads and writes the header with which a proxy that knows
// nothing of HTTP announces whose connection it passes on: versions 1 and 2 of
// the PROXY protocol (HAProxy, "The PROXY protocol", doc/proxy-protocol.txt).
//
// Whoever may send such a header may be anybody. It is for the caller to see that
// nobody else sends one.
package proxyproto

import (
	"errors"
	"net/netip"
)

// Header is what a proxy announces. Its addresses are not valid where the proxy
// speaks for itself (a health check) or knows nothing of its client: then the
// connection's own addresses are the ones that count. Addresses that were written
// as IPv4 in IPv6 are IPv4.
type Header struct {
	Source      netip.AddrPort // the client
	Destination netip.AddrPort // where the client connected to
}

// MaxBytes is the longest header that Parse takes. The addresses need 232 bytes;
// what else may stand in version 2 is hardly ever longer than a certificate.
const MaxBytes = 16 << 10

// ErrMalformed is the error of Parse; it says what is wrong.
var ErrMalformed = errors.New("no PROXY header")

// Parse reads the header that b begins with and gives its length, 0 while b is
// only its beginning. It is strict: what another reader could take for something
// else is an error, as early as it can be seen.
func Parse(b []byte) (h Header, n int, err error) {
	switch {
	case len(b) == 0:
		return Header{}, 0, nil
	case b[0] == text[0]:
		return parseText(b)
	default:
		return parseBinary(b)
	}
}

func unmapped(ip netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(ip.Unmap(), port) }
