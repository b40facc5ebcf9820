package config

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Prefix is a range of addresses as it is written: a CIDR or a single address. A range of IPv4 addresses in IPv6
// (::ffff:10.0.0.0/104) becomes the range of the IPv4 addresses, because clients' addresses are unmapped before they
// are compared.
type Prefix struct{ netip.Prefix }

// DecodeDoc reads a range.
func (p *Prefix) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the range of addresses", "10.0.0.0/8", ps) {
		return
	}
	if addr, err := netip.ParseAddr(n.Value); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		p.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return
	}
	prefix, err := netip.ParsePrefix(n.Value)
	if err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: strconv.Quote(n.Value) + " is not a range of addresses", Why: "ranges are written by address, never by name", Fix: "write a CIDR such as 10.0.0.0/8 or one address"})
		return
	}
	const mapped = 96 // bits of the IPv6 prefix of mapped IPv4 addresses
	switch masked := prefix.Masked(); {
	case masked != prefix:
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s has bits beyond its length", n.Value), Fix: fmt.Sprintf("write %s for the range, or %s for the one address", masked, prefix.Addr())})
	case prefix.Addr().Is4In6() && prefix.Bits() >= mapped:
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	p.Prefix = prefix.Masked()
}

// EncodeDoc writes the range.
func (p Prefix) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: p.String()} }

// DocSchema implements doc.SchemaWriter.
func (Prefix) DocSchema() *doc.Schema { return text("a range of addresses, as 10.0.0.0/8") }
