// Package egress tells where an address leads, and which addresses the gateway may connect to on behalf of others, such
// as a group. It is the only classification of addresses: for backends, for token issuers, and for everything else that
// the gateway calls.
package egress

import (
	"net/netip"
	"slices"
)

// Kind is where an address leads. A larger value is a worse place to be led to.
type Kind uint8

// The kinds of addresses.
const (
	Public    Kind = iota // somewhere on the Internet
	Private               // in a private network
	Loopback              // this machine
	LinkLocal             // the local link, where machines without any other address are
	Metadata              // where a cloud tells its machines their secrets
	Nowhere               // no single machine: unspecified, multicast, broadcast
)

// String returns a description for people, as in "127.0.0.1 is this machine".
func (k Kind) String() string {
	return [...]string{
		"on the Internet", "an address inside", "this machine", "a link-local address",
		"where a cloud tells its machines their secrets", "the address of no single machine",
	}[k]
}

// metadata returns the addresses where AWS, Azure, Google, Oracle and Alibaba tell machines their secrets, besides
// 169.254.0.0/16 and fe80::/10.
func metadata() []netip.Prefix {
	return prefixes(
		"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
		"fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fe80::a9fe:a9fe/128",
	)
}

// inside returns the ranges that do not lead to the Internet, besides those of RFC 1918 and RFC 4193, which netip knows
// (RFC 6890, RFC 3879, RFC 8215).
func inside() []netip.Prefix {
	return prefixes("100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "fec0::/10", "64:ff9b:1::/48")
}

// nowhere returns the ranges that no machine has, besides multicast (RFC 1122 section 3.2.1.3). A kernel may take them
// for itself.
func nowhere() []netip.Prefix { return prefixes("0.0.0.0/8", "255.255.255.255/32", "::/128") }

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// ranges holds the ranges above, parsed once. In guessed, the position of an IPv4 address depends on a prefix length
// that is not known, and wrong positions are full of zeros.
var ranges = struct {
	metadata, inside, nowhere []netip.Prefix
	guessed                   netip.Prefix
}{metadata(), inside(), nowhere(), netip.MustParsePrefix("64:ff9b:1::/48")}

// KindOf tells where ip leads. If an IPv6 address contains an IPv4 address, the result is the worse kind of the two,
// because some router or kernel on the way unpacks it.
func KindOf(ip netip.Addr) Kind {
	ip = plain(ip)
	kind := kindOf(ip)
	if ip.Is6() && kind != Loopback && kind != Nowhere {
		for _, in := range embedded(ip) {
			if k := kindOf(in); k != Nowhere || !ranges.guessed.Contains(ip) {
				kind = max(kind, k)
			}
		}
	}
	return kind
}

// plain returns the canonical form of an address.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func kindOf(ip netip.Addr) Kind {
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	switch {
	case !ip.IsValid(), ip.IsMulticast(), in(ranges.nowhere):
		return Nowhere
	case in(ranges.metadata):
		return Metadata
	case ip.IsLinkLocalUnicast():
		return LinkLocal
	case ip.IsLoopback():
		return Loopback
	case ip.IsPrivate(), in(ranges.inside):
		return Private
	default:
		return Public
	}
}

// carriers are the IPv6 ranges whose addresses contain IPv4 addresses, with the positions of the IPv4 address's bytes:
// IPv4-compatible (RFC 4291 section 2.5.5.1), IPv4-translated (RFC 2765 section 2.1), NAT64 with its well-known prefix
// and with a local one in each of the lengths of RFC 6052 section 2.2 (RFC 8215), 6to4 (RFC 3056).
var carriers = []struct {
	prefix netip.Prefix
	at     [4]int
}{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("64:ff9b::/96"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{9, 10, 11, 12}},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{7, 9, 10, 11}},
	{netip.MustParsePrefix("64:ff9b:1::/48"), [4]int{6, 7, 9, 10}},
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}},
}

// teredo addresses hide the client's address by inverting its bits (RFC 4380 section 4).
var teredo = netip.MustParsePrefix("2001::/32")

// embedded returns the IPv4 addresses that ip contains.
func embedded(ip netip.Addr) []netip.Addr {
	b := ip.As16()
	var list []netip.Addr
	for _, c := range carriers {
		if c.prefix.Contains(ip) {
			list = append(list, netip.AddrFrom4([4]byte{b[c.at[0]], b[c.at[1]], b[c.at[2]], b[c.at[3]]}))
		}
	}
	if teredo.Contains(ip) {
		list = append(list, netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	// ISATAP in any network (RFC 5214 section 6.1), with or without the universal bit.
	if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		list = append(list, netip.AddrFrom4([4]byte(b[12:])))
	}
	return list
}
