package listen

import (
	"net"
	"net/netip"
)

// subnet is how many bits of an IPv6 address identify one client: a client that has one address there has them all.
const subnet = 64

// clientOf returns the prefix by which connections of one client are counted. It is not valid on a Unix socket.
func clientOf(peer net.Addr) netip.Prefix {
	ip := addrPort(peer).Addr()
	if !ip.IsValid() {
		return netip.Prefix{}
	}
	bits := ip.BitLen()
	if ip.Is6() {
		bits = subnet
	}
	client, _ := ip.WithZone("").Prefix(bits) // no address has fewer bits
	return client
}
