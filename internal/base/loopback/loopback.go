// Package loopback tells who is on this machine, for APIs that answer nobody else:
// by the other end of the connection, by the name that was asked for, and by what
// browsers say of themselves. One of the three alone is not enough: a web page
// reaches loopback from the browser of whoever looks at it, and a name of its own may
// lead there (DNS rebinding).
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Peer tells whether a request's RemoteAddr is on this machine: a loopback address,
// or a Unix socket, whose file's mode is its guard.
func Peer(remote string) bool {
	if remote == "" || remote[0] == '@' || remote[0] == '/' {
		return true
	}
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// Name tells whether a host, without a port and brackets, is this machine alone.
func Name(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// Host tells whether a request's Host means this machine.
func Host(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return Name(strings.Trim(name, "[]")) || name == "" || name == "weir"
}

// OfPage tells whether a web page of another origin has made r (Fetch Metadata). A page
// of the same origin says an Origin too where it writes.
func OfPage(r *http.Request) bool {
	head := exchange.RequestHead(r)
	site := head.Get("Sec-Fetch-Site")
	return head.Get("Origin") != "" || site != "" && site != "same-origin" && site != "none"
}
