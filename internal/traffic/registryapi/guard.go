package registryapi

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/loopback"
	"github.com/weir-gateway/weir/internal/base/pattern"
)

// writer checks whether the client may write a service. The returned token is nil if no tokens are configured and the
// client is on this machine.
func (a *API) writer(c *call, service string) (*Token, error) {
	if len(a.options.Tokens) == 0 {
		return nil, near(c)
	}
	t, err := a.token(c)
	if err != nil {
		return nil, err
	}
	if !t.mayWrite(service) {
		return nil, fault.Forbidden.New("This token is not for the service.", fault.Internal("the token %s is for %q, not %q", t.Name, t.Services, service))
	}
	return t, nil
}

// reader checks whether the client may read.
func (a *API) reader(c *call) error {
	if a.options.Guarded {
		_, err := a.token(c)
		return err
	}
	if loopback.OfPage(c.r) { // a page's script runs in its visitor's browser, which may be close to the registry
		return fault.Forbidden.New("The registry answers no web pages.")
	}
	return nil
}

// token finds the token that the request shows.
func (a *API) token(c *call) (*Token, error) {
	scheme, shown, _ := strings.Cut(exchange.RequestHead(c.r).Get("Authorization"), " ")
	challenge := fault.WithField("WWW-Authenticate", `Bearer realm="registry"`)
	if !strings.EqualFold(scheme, "Bearer") || shown == "" {
		return nil, fault.Unauthorized.New("Show a token of the registry in the field Authorization: Bearer TOKEN.", challenge)
	}
	t := a.options.Tokens[auth.DigestOf(strings.TrimSpace(shown))]
	if t == nil {
		return nil, fault.Unauthorized.New("The registry does not know this token.", challenge)
	}
	c.x.Identity = &exchange.Identity{Method: "registry", Subject: t.Name}
	return t, nil
}

func (t *Token) mayWrite(service string) bool {
	return t.Services == nil || slices.ContainsFunc(t.Services, func(p string) bool { return pattern.Glob(p, service) })
}

// near checks, for a registry without tokens, that the client is on this machine.
func near(c *call) error {
	switch {
	case loopback.OfPage(c.r):
		return fault.Forbidden.New("Without tokens, web pages cannot register.")
	case !loopback.Peer(c.r.RemoteAddr) || c.x.Client.IP.IsValid() && !c.x.Client.IP.IsLoopback() || exchange.RequestHead(c.r).Get("Via") != "":
		return fault.Forbidden.New("Without tokens, only clients on the registry's own machine can register: set registry.tokens.")
	case !loopback.Host(c.r.Host):
		return fault.Forbidden.New(fmt.Sprintf("Without tokens, registering is for who asks localhost or a loopback address, not %.253q.", c.r.Host))
	}
	return nil
}

// address checks that an instance may have the address that it gives. A client's own address is that of its connection;
// for a client on this machine, any address of this machine.
func (a *API) address(c *call, t *Token, to netip.AddrPort) error {
	ip, client := to.Addr().Unmap(), c.x.Client.IP
	own, here := ip == client, !client.IsValid() || client.IsLoopback()
	if here {
		own = ours(ip)
	}
	if !own && (t == nil || !contains(t.Addresses, ip)) {
		return fault.InstanceAddress.New("It is not that of the connection, and nothing that was shown may register it: leave `address` out.",
			fault.Internal("%s, from %s", ip, client))
	}
	kind := egress.KindOf(ip)
	near := here && own && kind == egress.Loopback // on this machine, for this machine
	if err := a.bounds.Address(ip); err != nil && !near {
		return fault.InstanceAddress.New("It is "+kind.String()+".", fault.Cause(err))
	}
	if a.itself(netip.AddrPortFrom(ip, to.Port())) {
		return fault.InstanceAddress.New("The gateway itself listens there.", fault.Internal("%s", to))
	}
	return nil
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// ours reports whether ip belongs to this machine. It asks the system each time, because the addresses may change.
func ours(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip
	})
}

// itself reports whether the gateway listens at an address.
func (a *API) itself(to netip.AddrPort) bool {
	if a.options.Own == nil {
		return false
	}
	return slices.ContainsFunc(a.options.Own(), func(at netip.AddrPort) bool {
		own := at.Addr().Unmap().WithZone("")
		return at.Port() == to.Port() && (own == to.Addr() || own.IsUnspecified() && ours(to.Addr()))
	})
}
