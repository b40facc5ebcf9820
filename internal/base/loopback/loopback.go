// Package loopback determines whether a request comes from this machine, for APIs that answer no other requests. It
// checks the other end of the connection, the host name that was asked for, and what browsers say about themselves.
// None of these alone is enough: a web page can reach loopback from its visitor's browser, and a host name of its own
// may resolve to loopback (DNS rebinding).
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Peer reports whether a request's RemoteAddr is on this machine: a loopback address, or a Unix socket, which is
// protected by the mode of its file.
func Peer(remote string) bool {
	if remote == "" || remote[0] == '@' || remote[0] == '/' {
		return true
	}
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// Name reports whether a host, without a port and brackets, can only be this machine.
func Name(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// Host reports whether a request's Host means this machine.
func Host(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return Name(strings.Trim(name, "[]")) || name == "" || name == "weir"
}

// OfPage reports whether a web page of another origin made r (Fetch Metadata). Any request with an Origin counts,
// although a page of the same origin also sends one when it writes.
func OfPage(r *http.Request) bool {
	head := exchange.RequestHead(r)
	site := head.Get("Sec-Fetch-Site")
	return head.Get("Origin") != "" || site != "" && site != "same-origin" && site != "none"
}
