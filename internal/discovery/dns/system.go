package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// systemAge is the time between lookups on systems that report no TTL.
const systemAge = 15 * time.Second

// systemAddresses asks the system resolver, on systems where programs do not query servers themselves.
func systemAddresses(ctx context.Context, s settings, name string) (sight, error) {
	var got both
	for _, k := range s.families {
		network := "ip4"
		if k == kindAAAA {
			network = "ip6"
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, name)
		a := familyAnswer{kind: k, err: seen(err)}
		for _, addr := range addrs {
			if addr = addr.Unmap(); familyOf(addr) == k {
				a.addrs = append(a.addrs, addr)
			}
		}
		a.until = time.Now().Add(systemAge)
		got.add(a)
	}
	return got.whole()
}

func systemServices(ctx context.Context, name string) (sight, error) {
	_, list, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
	if err = seen(err); err != nil || len(list) == 0 {
		return sight{absent: err == nil}, err
	}
	got := sight{until: time.Now().Add(systemAge)}
	for _, s := range list {
		got.records = append(got.records, record{nameOf(s.Target), s.Port, s.Priority, s.Weight})
	}
	return got, nil
}

// seen returns nil if the system says that there is no such name.
func seen(err error) error {
	if absent, ok := errors.AsType[*net.DNSError](err); ok && absent.IsNotFound {
		return nil
	}
	return err
}

// usable tells whether this machine has an address from which a could be reached (RFC 6724 section 5, rule 1). Nothing
// is sent.
func usable(a netip.Addr) bool {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9)))
	if err != nil {
		return false
	}
	_ = conn.Close() // it was never used
	return true
}
