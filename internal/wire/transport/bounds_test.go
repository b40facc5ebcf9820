package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/egress/egresstest"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// newLiar starts a name server that the process uses until the test ends.
func newLiar(t *testing.T) *egresstest.NameServer {
	t.Helper()
	server, usual := egresstest.Serve(t), net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.Address)
	}}
	t.Cleanup(func() { net.DefaultResolver = usual })
	return server
}

// TestBoundsHoldWhereverANameLeads plays DNS rebinding: the name led to an allowed address when the config was read.
// What counts is the address of the connection.
func TestBoundsHoldWhereverANameLeads(t *testing.T) {
	dns := newLiar(t)
	var connections atomic.Int64
	address := listen(t, func(c net.Conn) { connections.Add(1); _ = c.Close() })
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	bound := newTransport(t, transport.Options{Protocol: transport.HTTP, Bounds: &egress.Bounds{}})
	for _, list := range [][]string{
		{"127.0.0.1"}, {"127.0.0.2"}, {"0.0.0.0"}, {"::1"}, {"::"}, {"::ffff:127.0.0.1"}, {"169.254.169.254"}, {"fd00:ec2::254"}, {"100.100.100.200"},
		{"fe80::1"}, {"64:ff9b::7f00:1"}, {"2002:7f00:1::"}, {"127.0.0.1", "::1"}, {"169.254.169.254", "127.0.0.1"},
	} {
		dns.Say(list...)
		res, err := bound.RoundTrip(request(t, http.MethodGet, "partner.example.com:"+port, nil))
		send, ok := errors.AsType[*exchange.SendError](err)
		if !ok || !send.Refused || !send.Dial || send.Sent != exchange.SentNothing || send.Timeout {
			t.Errorf("%s: %v, %v", list, res, err)
			continue
		}
		if f := send.Fault(); f.Code != fault.BackendForbidden.Code {
			t.Errorf("%s: the fault is %v", list, f)
		}
	}
	for _, literal := range []string{address, "[::ffff:127.0.0.1]:" + port, "localhost:" + port, "unix:/run/app.sock"} {
		dns.Say("127.0.0.1")
		_, err := bound.RoundTrip(request(t, http.MethodGet, literal, nil))
		if send, ok := errors.AsType[*exchange.SendError](err); !ok || !send.Refused {
			t.Errorf("%s: %v", literal, err)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Fatalf("%d connections were made", n)
	}

	// An address within bounds is called, and nothing changes for a backend without bounds.
	dns.Say("127.0.0.1")
	reach := &egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	for i, b := range []*egress.Bounds{reach, nil} {
		_, _ = newTransport(t, transport.Options{Protocol: transport.HTTP, Bounds: b}).RoundTrip(request(t, http.MethodPost, "partner.example.com:"+port, nil))
		if n := connections.Load(); n != int64(i+1) {
			t.Errorf("%v: %d connections", b, n)
		}
	}
}
