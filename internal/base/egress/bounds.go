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

// Bounds are where the backends of a group or object may be. nil stands for whoever runs the gateway, and bounds
// nothing. Any other value, the zero value too, refuses everything that is not on the Internet or inside: this machine
// and its Unix sockets, its links, and the metadata services of clouds. Bounds are immutable and safe for concurrent
// use.
type Bounds struct {
	// Reach are addresses that may be connected to although they would be refused otherwise.
	Reach []netip.Prefix
	// Sockets are patterns for paths of Unix sockets that may be connected to; `*` stands for any text.
	Sockets []string
	// Own returns where the gateway itself listens now. Connections to there, at any of this machine's addresses, are
	// refused unless Reach contains the address: the gateway may trust these addresses as its proxies', or may serve
	// there what is meant for others. nil means nowhere.
	Own func() []netip.AddrPort
}

// RefusedError says that an address is outside the bounds.
type RefusedError struct {
	Address string // an IP address, with its port if that matters, or unix:/path
	Kind    Kind   // Loopback for a Unix socket, and for an address of the gateway
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is %s, which may not be called here", e.Address, e.Kind)
}

// Address returns why ip may not be connected to, or nil if it may.
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

// itself reports whether to is an address where the gateway listens.
func (b *Bounds) itself(to netip.AddrPort) bool {
	if b.Own == nil || b.reaches(to.Addr()) {
		return false
	}
	return slices.ContainsFunc(b.Own(), func(at netip.AddrPort) bool {
		own := plain(at.Addr())
		return at.Port() == to.Port() && (own == to.Addr() || own.IsUnspecified() && isOfThisMachine(to.Addr()))
	})
}

// isOfThisMachine asks the system each time, because its addresses may change. If the system does not tell, it is true.
func isOfThisMachine(ip netip.Addr) bool {
	list, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(list, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && plain(prefix.Addr()) == ip
	})
}

// Socket returns why the Unix socket at path may not be connected to, or nil if it may.
func (b *Bounds) Socket(path string) error {
	if b == nil || slices.ContainsFunc(b.Sockets, func(p string) bool { return pattern.Glob(p, path) }) {
		return nil
	}
	return &RefusedError{"unix:" + path, Loopback}
}

// Host returns why a host may not be connected to, if the host stands for the same address for everyone: a literal
// address, or localhost (RFC 6761 section 6.3). Control checks where other names lead, when they are connected to.
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

// Control enforces the bounds for each connection, as net.Dialer's Control: after names were resolved, by whatever
// resolver, and before anything is sent.
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

// String identifies the bounds. It is "" for no bounds.
func (b *Bounds) String() string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("within %v %q", b.Reach, b.Sockets)
}
