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

// place is where a connection leads, and which client is announced there. net/http keeps connections apart by the host
// of a URL. If an address says too little for that, or cannot stand in a URL, the place is encoded as a host of its
// own.
type place struct {
	endpoint string // host:port, or unix:/path
	fallback string // the same endpoint by another way, "" for none
	name     string // the name that its certificate is for; "" the endpoint's host
	id       string // of the instance that is there; "": instances are not told apart
	client   proxyproto.Header
}

// These suffixes end such hosts, and no name that exists (RFC 2606 section 2): placeSuffix ends those that RoundTrip
// writes, hostSuffix those of Host.
const (
	placeSuffix = ".place.invalid:1"
	hostSuffix  = ".host.invalid:1"
)

// placeParts separates the parts of a place. It cannot stand in an address.
const placeParts = "\x00"

var placeCode = base32.HexEncoding.WithPadding(base32.NoPadding)

// Host returns what stands for an endpoint in the URL of a request: its address, if that says everything. fallback is
// dialled if address cannot be reached, or not soon; "" for none. name is what the endpoint's certificate is asked and
// checked for if Options.TLS does not say; "" is the address's host. id tells apart instances that have the address one
// after the other; "" if they are not told apart. Connections are kept for all four together, so that no connection to
// an instance that leaves is used for the one that follows it.
func Host(address, fallback, name, id string) string {
	if fallback == "" && name == "" && id == "" && !strings.HasSuffix(address, hostSuffix) {
		return address
	}
	return place{endpoint: address, fallback: fallback, name: name, id: id}.host(hostSuffix)
}

// host returns what stands for the place in a URL.
func (p place) host(suffix string) string {
	raw := append(p.client.AppendV2(nil), p.endpoint+placeParts+p.fallback+placeParts+p.name+placeParts+p.id...)
	return strings.ToLower(placeCode.EncodeToString(raw)) + suffix
}

// placeOf decodes where a connection is to lead.
func placeOf(address string) place {
	code, ok := strings.CutSuffix(address, placeSuffix)
	if !ok {
		code, ok = strings.CutSuffix(address, hostSuffix)
	}
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
	parts := strings.Split(string(raw[n:]), placeParts)
	if len(parts) != 4 {
		return place{endpoint: address}
	}
	return place{parts[0], parts[1], parts[2], parts[3], client}
}

// endpointOf returns the place of an address in a host of a URL, or of the one that Host has put there.
func endpointOf(host string) place {
	if strings.HasSuffix(host, hostSuffix) {
		return placeOf(host)
	}
	return place{endpoint: host}
}

// networkOf splits an endpoint into the network and address for a dialler.
func networkOf(network, endpoint string) (net, address string) {
	if path, ok := strings.CutPrefix(endpoint, unixPrefix); ok {
		return "unix", path
	}
	return network, endpoint
}

// serverName returns the host that a certificate must be for if nothing else is configured.
func (p place) serverName() (string, error) {
	if p.name != "" {
		return p.name, nil
	}
	host, _, err := net.SplitHostPort(p.endpoint)
	return host, err //nolint:wrapcheck // the caller says what it was for
}

// authority returns the Host for a request that has none.
func (p place) authority() string {
	switch {
	case strings.HasPrefix(p.endpoint, unixPrefix):
		return "localhost"
	case p.name != "":
		return p.name
	default:
		return p.endpoint
	}
}

// announced returns what the endpoint is told about the client of a request: nothing if no client sent it.
func announced(ctx context.Context) proxyproto.Header {
	x := exchange.From(ctx)
	if x == nil || !x.Client.IP.IsValid() {
		return proxyproto.Header{}
	}
	port := uint16(0) // unknown for a client behind a trusted proxy
	if x.Client.IP == x.Client.Peer.Addr() {
		port = x.Client.Peer.Port()
	}
	return proxyproto.Header{Source: netip.AddrPortFrom(x.Client.IP, port), Destination: connectedTo(ctx, x.Client.IP)}
}

// connectedTo returns where the client connected to, as far as that is known.
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
