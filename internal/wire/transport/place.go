package transport

import (
	"context"
	"encoding/base32"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/proxyproto"
)

// unixPrefix begins the address of an endpoint that listens on a Unix socket.
const unixPrefix = "unix:"

// place is where a connection leads, and whose it is said to be there. net/http
// keeps connections apart by the host of a URL. Where an address says too little
// for that, or cannot stand in a URL, the place is written as a host of its own.
type place struct {
	endpoint string // host:port, or unix:/path
	client   proxyproto.Header
}

// placeSuffix ends such hosts, and no name that exists (RFC 2606 section 2).
const placeSuffix = ".place.invalid:1"

var placeCode = base32.HexEncoding.WithPadding(base32.NoPadding)

// host is what stands for the place in a URL.
func (p place) host() string {
	raw := append(p.client.AppendV2(nil), p.endpoint...)
	return strings.ToLower(placeCode.EncodeToString(raw)) + placeSuffix
}

// placeOf reads what a connection is to be made to.
func placeOf(address string) place {
	code, ok := strings.CutSuffix(address, placeSuffix)
	if !ok {
		return place{endpoint: address}
	}
	raw, err := placeCode.DecodeString(strings.ToUpper(code))
	if err != nil {
		return place{endpoint: address}
	}
	client, n, err := proxyproto.Parse(raw)
	if err != nil {
		return place{endpoint: address}
	}
	return place{string(raw[n:]), client}
}

// network splits an endpoint into what a dialler is told.
func (p place) network(network string) (net, address string) {
	if path, ok := strings.CutPrefix(p.endpoint, unixPrefix); ok {
		return "unix", path
	}
	return network, p.endpoint
}

// serverName is the host that a certificate must be for where nobody says otherwise.
func (p place) serverName() (string, error) {
	host, _, err := net.SplitHostPort(p.endpoint)
	return host, err //nolint:wrapcheck // the caller says what it was for
}

// announced is what the endpoint is told of the client of a request: nothing
// where nobody sent it.
func announced(ctx context.Context) proxyproto.Header {
	x := exchange.From(ctx)
	if x == nil || !x.Client.IP.IsValid() {
		return proxyproto.Header{}
	}
	port := uint16(0) // of a client behind a trusted proxy it is not known
	if x.Client.IP == x.Client.Peer.Addr() {
		port = x.Client.Peer.Port()
	}
	return proxyproto.Header{Source: netip.AddrPortFrom(x.Client.IP, port), Destination: connectedTo(ctx, x.Client.IP)}
}

// connectedTo is where the client connected to, as far as that is known.
func connectedTo(ctx context.Context, client netip.Addr) netip.AddrPort {
	if local, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		at := local.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	}
	if client.Is4() {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
}
