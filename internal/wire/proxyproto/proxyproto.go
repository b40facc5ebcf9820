// Package proxyproto reads and writes the header with which a proxy that knows nothing of HTTP announces whose
// connection it passes on: versions 1 and 2 of the PROXY protocol (HAProxy, "The PROXY protocol",
// doc/proxy-protocol.txt).
//
// The sender of such a header can claim to be any client. The caller must make sure that only trusted peers can send
// one.
package proxyproto

import (
	"errors"
	"net/netip"
)

// Header is what a proxy announces. Its addresses are not valid if the proxy speaks for itself (a health check) or does
// not know its client: in that case the connection's own addresses apply. Addresses that were written as IPv4 in IPv6
// are IPv4.
type Header struct {
	Source      netip.AddrPort // the client
	Destination netip.AddrPort // the address that the client connected to
}

// MaxBytes is the longest header that Parse accepts. The addresses need 232 bytes; the rest of a version 2 header is
// hardly ever longer than a certificate.
const MaxBytes = 16 << 10

// ErrMalformed is the error of Parse; its text says what is wrong.
var ErrMalformed = errors.New("no PROXY header")

// Parse reads the header at the start of b and returns its length, 0 while b holds only a part of it. It is strict:
// input that another parser could interpret differently is an error, reported as soon as it can be recognised.
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
