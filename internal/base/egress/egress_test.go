package egress_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/egress"
)

func TestWhereAddressesLead(t *testing.T) {
	for kind, list := range map[egress.Kind][]string{
		egress.Public: {
			"8.8.8.8", "192.0.2.1", "1.1.1.1", "2001:4860:4860::8888", "2001:db8::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
			"172.32.0.1", "100.128.0.1", "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
		},
		egress.Private: {
			"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "198.18.0.1", "240.0.0.1", "192.0.0.8",
			"fc00::1", "fdff::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::", "64:ff9b:1::808:808",
		},
		egress.Loopback: {
			"127.0.0.1", "127.255.255.254", "::1", "::1%lo", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::5",
			"2001:0:4136:e378:8000:63bf:80ff:fffe", // Teredo: the client 127.0.0.1 with its bits flipped
			"64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::", "2001:db8::5efe:127.0.0.1", "2001:db8::200:5efe:7f00:1",
		},
		egress.LinkLocal: {"169.254.1.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1", "::ffff:169.254.1.1", "64:ff9b::169.254.1.1"},
		egress.Metadata: {
			"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
			"fd00:c1::a9fe:a9fe", "fe80::a9fe:a9fe", "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fe80::5efe:169.254.169.254",
		},
		egress.Nowhere: {"0.0.0.0", "0.1.2.3", "::", "::%lo", "224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1", "::ffff:0.0.0.0", "64:ff9b::"},
	} {
		for _, address := range list {
			if got := egress.KindOf(netip.MustParseAddr(address)); got != kind {
				t.Errorf("%s is %v, not %v", address, got, kind)
			}
		}
	}
	if got := egress.KindOf(netip.Addr{}); got != egress.Nowhere {
		t.Errorf("no address is %v", got)
	}
}

func TestBounds(t *testing.T) {
	var none *egress.Bounds
	closed := &egress.Bounds{}
	own := &egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.20.0/24")}, Sockets: []string{"/run/shop/*"}}
	for address, want := range map[string]struct{ none, closed, own bool }{
		"8.8.8.8":                {true, true, true},
		"10.1.2.3":               {true, true, true},
		"127.0.0.1":              {none: true, own: true},
		"::ffff:127.0.0.1":       {none: true, own: true},
		"::1":                    {none: true},
		"64:ff9b::7f00:1":        {none: true}, // who wants this detour says so
		"169.254.20.1":           {none: true, own: true},
		"169.254.169.254":        {none: true},
		"::ffff:169.254.169.254": {none: true},
		"0.0.0.0":                {none: true},
	} {
		ip := netip.MustParseAddr(address)
		at := netip.AddrPortFrom(ip, 80).String()
		for b, ok := range map[*egress.Bounds]bool{none: want.none, closed: want.closed, own: want.own} {
			if err := b.Address(ip); (err == nil) != ok {
				t.Errorf("%v: %s: %v", b, address, err)
			}
			if err := b.Control("tcp4", at, nil); (err == nil) != ok {
				t.Errorf("%v: dialling %s: %v", b, at, err)
			}
			if err := b.Host(address); (err == nil) != ok {
				t.Errorf("%v: the host %s: %v", b, address, err)
			}
		}
	}
	for path, ok := range map[string]bool{"/run/shop/app.sock": true, "/run/docker.sock": false, "/run/shop": false} {
		if err := own.Control("unix", path, nil); (err == nil) != ok || none.Socket(path) != nil || closed.Socket(path) == nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for host, ok := range map[string]bool{"localhost": false, "LOCALHOST.": false, "a.localhost": false, "[::1]": false, "notlocalhost": true, "localhost.shop.dev": true, "users": true} {
		err := closed.Host(host)
		if (err == nil) != ok || none.Host(host) != nil || own.Host("localhost") != nil {
			t.Errorf("%s: %v", host, err)
		}
		if _, refused := errors.AsType[*egress.RefusedError](err); err != nil && !refused {
			t.Errorf("%s: %T", host, err)
		}
	}
	if closed.Control("tcp", "no address", nil) == nil || none.String() != "" || closed.String() == "" || closed.String() == own.String() {
		t.Error("bounds are told apart by their text, and what is no address is refused")
	}
}

// TestWhereTheGatewayItselfListensIsNotCalled holds for its addresses beside loopback too.
func TestWhereTheGatewayItselfListensIsNotCalled(t *testing.T) {
	at := func(texts ...string) func() []netip.AddrPort {
		var list []netip.AddrPort
		for _, text := range texts {
			list = append(list, netip.MustParseAddrPort(text))
		}
		return func() []netip.AddrPort { return list }
	}
	reach := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	mine := interfaceAddress(t)
	for name, c := range map[string]struct {
		own   func() []netip.AddrPort
		reach []netip.Prefix
		to    string
		ok    bool
	}{
		"a listener at one address":     {at("10.0.0.1:8080"), nil, "10.0.0.1:8080", false},
		"mapped into IPv6":              {at("10.0.0.1:8080"), nil, "[::ffff:10.0.0.1]:8080", false},
		"with a zone":                   {at("[2001:db8::1]:8080"), nil, "[2001:db8::1%eth0]:8080", false},
		"the second of two":             {at("10.0.0.1:80", "10.0.0.1:443"), nil, "10.0.0.1:443", false},
		"another port":                  {at("10.0.0.1:8080"), nil, "10.0.0.1:9000", true},
		"another address":               {at("10.0.0.1:8080"), nil, "10.0.0.2:8080", true},
		"who may":                       {at("10.0.0.1:8080"), reach, "10.0.0.1:8080", true},
		"a listener at all, a neighbor": {at("[::]:8080", "0.0.0.0:8080"), nil, "192.0.2.1:8080", true},
		"a listener at all":             {at("[::]:8080"), nil, netip.AddrPortFrom(mine, 8080).String(), false},
		"at all of IPv4":                {at("0.0.0.0:8080"), nil, netip.AddrPortFrom(mine, 8080).String(), false},
		"at all, another port":          {at("[::]:8080"), nil, netip.AddrPortFrom(mine, 8081).String(), true},
		"not known":                     {nil, nil, netip.AddrPortFrom(mine, 8080).String(), true},
	} {
		b := &egress.Bounds{Own: c.own, Reach: c.reach}
		if mine.IsLoopback() && strings.Contains(c.to, mine.String()) {
			continue // this machine has no other address
		}
		err := b.Control("tcp", c.to, nil)
		if refused, is := errors.AsType[*egress.RefusedError](err); (err == nil) != c.ok || err != nil && (!is || refused.Kind != egress.Loopback) {
			t.Errorf("%s: %s: %v", name, c.to, err)
		}
	}
	var none *egress.Bounds
	if err := none.Control("tcp", "10.0.0.1:8080", nil); err != nil {
		t.Errorf("whoever runs the gateway may call it: %v", err)
	}
}

// interfaceAddress is one of this machine that is no loopback address, else one that is.
func interfaceAddress(t *testing.T) netip.Addr {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && egress.KindOf(p.Addr()) <= egress.Private {
			return p.Addr()
		}
	}
	return netip.IPv6Loopback()
}

// FuzzKindOf holds that an IPv4 address is no better in any of its IPv6 spellings.
func FuzzKindOf(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{169, 254, 169, 254})
	f.Fuzz(func(t *testing.T, raw []byte) {
		v4, ok := netip.AddrFromSlice(raw)
		if !ok || !v4.Is4() {
			return
		}
		b := v4.As4()
		for name, spelled := range map[string][16]byte{
			"mapped":     {10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			"translated": {8: 0xff, 9: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			"nat64":      {0, 0x64, 0xff, 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			"6to4":       {0x20, 0x02, b[0], b[1], b[2], b[3]},
			"teredo":     {0x20, 0x01, 12: ^b[0], 13: ^b[1], 14: ^b[2], 15: ^b[3]},
			"isatap":     {0x20, 0x01, 0x0d, 0xb8, 10: 0x5e, 11: 0xfe, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
		} {
			if ip := netip.AddrFrom16(spelled); egress.KindOf(ip) < egress.KindOf(v4) {
				t.Errorf("%s: %s is %v, and %s is %v", name, v4, egress.KindOf(v4), ip, egress.KindOf(ip))
			}
		}
	})
}
