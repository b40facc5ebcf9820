package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/weir-gateway/weir/internal/base/pattern"
)

// Bounds are where somebody's backends may be. nil are those of whoever runs the gateway
// and bound nothing. What is not nil, the zero value too, holds everything that is not on
// the Internet or inside: this machine and its Unix sockets, its links, the metadata of
// clouds. It is immutable and safe for concurrent use.
type Bounds struct {
	// Reach are addresses that are held otherwise, and may be connected to.
	Reach []netip.Prefix
	// Sockets are patterns of paths of Unix sockets; `*` stands for any text.
	Sockets []string
	// Own tells where the gateway itself listens now, which is not called at any of this machine's
	// addresses: it may trust them as its proxies', or serve there what is for others. nil: nowhere.
	Own func() []netip.AddrPort
}

// RefusedError says that an address is out of somebody's bounds.
type RefusedError struct {
	Address string // an IP address, with its port where that matters, or unix:/path
	Kind    Kind   // Loopback for a Unix socket, and for one of the gateway's own
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is %s, which may not be called here", e.Address, e.Kind)
}

// Address tells why ip is not called, nil where it may be.
func (b *Bounds) Address(ip netip.Addr) error {
	if b == nil {
		return nil
	}
	ip = plain(ip)
	kind := KindOf(ip)
	if kind <= Private || b.reaches(ip) {
		return nil
	}
	return &RefusedError{ip.String(), kind}
}

func (b *Bounds) reaches(ip netip.Addr) bool {
	return slices.ContainsFunc(b.Reach, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// itself tells whether to is where the gateway listens.
func (b *Bounds) itself(to netip.AddrPort) bool {
	if b.Own == nil || b.reaches(to.Addr()) {
		return false
	}
	return slices.ContainsFunc(b.Own(), func(at netip.AddrPort) bool {
		own := plain(at.Addr())
		return at.Port() == to.Port() && (own == to.Addr() || own.IsUnspecified() && isOfThisMachine(to.Addr()))
	})
}

// isOfThisMachine asks the system, whose addresses may change. Where it does not say, it is.
func isOfThisMachine(ip netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(list, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && plain(prefix.Addr()) == ip
	})
}

// Socket tells why the Unix socket at path is not called.
func (b *Bounds) Socket(path string) error {
	if b == nil || slices.ContainsFunc(b.Sockets, func(p string) bool { return pattern.Glob(p, path) }) {
		return nil
	}
	return &RefusedError{"unix:" + path, Loopback}
}

// Host tells why a host that means one address whoever is asked (a literal one, or
// localhost, RFC 6761 section 6.3) is not called. Where other names lead is seen when they
// are called, by Control.
func (b *Bounds) Host(host string) error {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(host); err == nil {
		return b.Address(ip)
	}
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		if v4 := b.Address(netip.AddrFrom4([4]byte{127, 0, 0, 1})); v4 != nil && b.Address(netip.IPv6Loopback()) != nil {
			return v4
		}
	}
	return nil
}

// Control holds the bounds for each connection, as net.Dialer's Control: after names were
// resolved by whomever, and before anything is sent.
func (b *Bounds) Control(network, address string, _ syscall.RawConn) error {
	if b == nil {
		return nil
	}
	if strings.HasPrefix(network, "unix") {
		return b.Socket(address)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{address, Nowhere}
	}
	if err := b.Address(at.Addr()); err != nil {
		return err
	}
	if to := netip.AddrPortFrom(plain(at.Addr()), at.Port()); b.itself(to) {
		return &RefusedError{to.String(), Loopback}
	}
	return nil
}

// String identifies the bounds; "" are none.
func (b *Bounds) String() string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("within %v %q", b.Reach, b.Sockets)
}
