package forward

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// The values of exchange.Client.Scheme.
const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
)

// Client determines who sent a request. peer is the other end of the connection (the zero value on a Unix socket), tls
// is whether the connection is encrypted, and host is the authority as it was sent.
//
// If peer is in trusted, its X-Forwarded-For, -Proto and -Host count; if it sent no X-Forwarded-For, its Forwarded (RFC
// 7239) counts instead. Addresses are read from the right, because each proxy appends what it saw: the client is the
// first address that is not itself a trusted proxy. The walk ends at anything that is not an address, such as "unknown"
// or an obfuscated name, and the last address before it is the client. Addresses are unmapped (::ffff:192.0.2.1 is
// 192.0.2.1) before they are compared.
func Client(peer netip.AddrPort, tls bool, host string, head exchange.Head, trusted []netip.Prefix) exchange.Client {
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	client := exchange.Client{Peer: peer, IP: peer.Addr(), Scheme: schemeHTTP, Host: host}
	if tls {
		client.Scheme = schemeHTTPS
	}
	if !contains(trusted, client.IP) {
		return client
	}
	client.Trusted = true
	if chain := head.Values("X-Forwarded-For"); len(chain) > 0 {
		walkXFF(&client, chain, trusted)
	} else if lines := head.Values("Forwarded"); len(lines) > 0 {
		walkForwarded(&client, lines, trusted)
		return client
	}
	if scheme := parseScheme(last(head.Values("X-Forwarded-Proto"))); scheme != "" {
		client.Scheme = scheme
	}
	if authority := last(head.Values("X-Forwarded-Host")); isAuthority(authority) {
		client.Host = authority
	}
	return client
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	ip = ip.WithZone("")
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// walkXFF goes through the addresses of X-Forwarded-For from right to left.
func walkXFF(client *exchange.Client, lines []string, trusted []netip.Prefix) {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			var node string
			if comma := strings.LastIndexByte(line, ','); comma < 0 {
				node, more = line, false
			} else {
				node, line = line[comma+1:], line[:comma]
			}
			ip, ok := parseNode(strings.Trim(node, " \t"))
			if !ok {
				return
			}
			client.IP = ip
			if !contains(trusted, ip) {
				return
			}
		}
	}
}

// walkForwarded goes through the elements of Forwarded from right to left. Scheme and host are taken from the element
// that identifies the client. A line that does not follow the grammar ends the walk, because it is unknown where its
// elements begin.
func walkForwarded(client *exchange.Client, lines []string, trusted []netip.Prefix) {
	for _, line := range slices.Backward(lines) {
		elements, err := ParseForwarded(line)
		if err != nil {
			return
		}
		for _, e := range slices.Backward(elements) {
			ip, ok := parseNode(e.For)
			if !ok {
				return
			}
			client.IP = ip
			if scheme := parseScheme(e.Proto); scheme != "" {
				client.Scheme = scheme
			}
			if isAuthority(e.Host) {
				client.Host = e.Host
			}
			if !contains(trusted, ip) {
				return
			}
		}
	}
}

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1],
// [2001:db8::1]:80. An address with a zone is refused: the zone means nothing on another machine.
func parseNode(s string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); bracketed {
			s = inner
		}
	}
	ip, err := netip.ParseAddr(s)
	if err == nil && bracketed && ip.Is4() {
		return netip.Addr{}, false
	}
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		ip = withPort.Addr()
	}
	return ip.Unmap(), ip.Zone() == ""
}

// last returns the last member of a list: what the nearest proxy said.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	value := values[len(values)-1]
	return strings.Trim(value[strings.LastIndexByte(value, ',')+1:], " \t")
}

func parseScheme(s string) string {
	switch {
	case strings.EqualFold(s, schemeHTTP), strings.EqualFold(s, "ws"):
		return schemeHTTP
	case strings.EqualFold(s, schemeHTTPS), strings.EqualFold(s, "wss"):
		return schemeHTTPS
	default:
		return ""
	}
}

// longestAuthority is a DNS name of 253 bytes with its dot and a port, and some bytes to spare.
const longestAuthority = 300

// isAuthority is a coarse check that s can be a host with an optional port. What it accepts cannot be mistaken for
// anything else in a URL, a log or a header field.
func isAuthority(s string) bool {
	if s == "" || len(s) > longestAuthority {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}
